"""The same pack again: known by one record of the last one, before anything else is loaded.

A pack of which nothing has changed would load sixty modules to find that out. ``record`` notes
what a pack depended on; ``recall`` looks at it with a handful of the standard library's modules
and, where all of it is as it was, gives the answer of the last time. Where anything is
different, unclear or damaged, the whole pack runs: a record is never needed.

What is compared: the words of the command, the folder, the environment, the user, our own source
files; ``stat`` of all files in the code, data and output folders and of every settings file, also
of those that were missing; the commands file byte by byte; and the two manifests, base and
target, as the registry gives them now.
"""
