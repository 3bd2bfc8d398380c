"""What is wrong with a prototxt's text, as findings; solver and net share it."""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.frameworks import prototxt
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.rule import error

ABORT = "Caffe aborts: failed to parse the prototxt"
SYNTAX = error(
    "prototxt-syntax",
    "a prototxt is not protobuf text, or a value is not of its field's type",
    ABORT,
    "mend the text at the caret",
)
FIELD = error(
    "prototxt-unknown-field",
    "a field that Caffe's schema does not have (fork or misspelling)",
    ABORT,
    "remove the field or use the right name",
)
VALUE = error(
    "prototxt-unknown-value",
    "an enum value that Caffe's schema does not have",
    ABORT,
    "use one of the values",
)
REQUIRED = error(
    "prototxt-required",
    "a field that Caffe requires is absent",
    ABORT,
    "add the field",
)
RULES = (SYNTAX, FIELD, VALUE, REQUIRED)
BY_KIND = dict(
    zip(
        (
            prototxt.SYNTAX,
            prototxt.UNKNOWN_FIELD,
            prototxt.UNKNOWN_VALUE,
            prototxt.REQUIRED,
        ),
        RULES,
        strict=True,
    )
)


def findings(document: prototxt.Document) -> Iterator[Finding]:
    for problem in document.problems:
        what = problem.what
        if problem.excerpt:
            what += "\n" + problem.excerpt
        mend = f'did you mean "{problem.nearest}"?' if problem.nearest else ""
        yield BY_KIND[problem.kind].finding(what, document.where(problem), mend)
