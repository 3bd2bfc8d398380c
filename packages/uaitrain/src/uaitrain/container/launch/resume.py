"""How a run begins: as it is written, or where an earlier start left off."""

from pairs import Pairs


def begin(command, output_dir, state, say):
    """(the words of this start, the solver state it goes on from or ""), noted in `state`.

    The first start is as the user wrote it; a `--snapshot` of theirs holds as long as the run has
    no snapshot of its own. What lay in the folder before the first start is not the run's own.
    """
    state.attempts += 1
    pairs = Pairs(command, output_dir, state.before)
    if state.attempts == 1:
        state.before = pairs.listed()
        return command.argv, ""
    newest = pairs.newest()
    if not newest:
        say("start %d of this run, which has no complete snapshot yet" % state.attempts)
        return command.argv, ""
    if not command.main:
        say("start %d of this run: no Python file to give --snapshot=%s" % (state.attempts, newest))
        return command.argv, ""
    say("start %d of this run: going on from %s" % (state.attempts, newest))
    return command.with_snapshot(newest), newest
