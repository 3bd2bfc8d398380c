"""Tests during training: the solver's test_* fields against the nets."""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.frameworks import caffe_net
from uaitrain.frameworks.prototxt import Document
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look
from uaitrain.preflight.rule import error, warning

NO_ITER = error(
    "test-iter",
    "test_net without test_iter, or not one test_iter for each test net",
    "Caffe aborts: test_iter must be specified for each test network",
    "give one test_iter for each test net",
)
NO_INTERVAL = error(
    "test-interval",
    "there is a test net and test_iter, and test_interval is absent or 0",
    "Caffe aborts: check failed, test_interval > 0",
    "set test_interval to iterations between two tests",
)
NEVER = warning(
    "test-never",
    "the net has layers for the TEST phase only, and the solver has no test_iter",
    "the net is never tested during training",
    "set test_iter and test_interval, or remove those layers",
)
STATES = error(
    "test-state",
    "the number of test_state is neither 0 nor that of the test nets",
    "Caffe aborts: test_state must be unspecified or specified once per test net",
    "give one test_state for each test net, or none",
)
RULES = (NO_ITER, NO_INTERVAL, NEVER, STATES)


def check(look: Look) -> Iterator[Finding]:
    if look.solver is None or look.facts is None:
        return
    message, root, where = look.solver.message, look.solver.root, look.solver.where
    nets = len(message.test_net) + len(message.test_net_param)
    generic = bool(message.net) or message.HasField("net_param")
    iters = len(message.test_iter)
    if iters < nets or (iters > nets and not generic):
        what = f"{nets} test nets and {iters} test_iter"
        yield NO_ITER.finding(what, where(root.at("test_net" if nets else "test_iter")))
        return
    if iters and message.test_interval <= 0:
        what = f"test_iter is given and test_interval is {message.test_interval}"
        yield NO_INTERVAL.finding(what, where(root.at("test_iter")))
    if message.test_state and len(message.test_state) != iters:
        what = f"{len(message.test_state)} test_state for {iters} test nets"
        yield STATES.finding(what, where(root.at("test_state")))
    if not iters and generic:
        yield from _never_tested(look)


def _never_tested(look: Look) -> Iterator[Finding]:
    documents = [document for document in look.nets.values() if document is not None]
    documents += [document for document, _ in look.inline_nets()]
    for document in documents:
        for layer in _test_only(document):
            what = f'layer "{layer.name}" is for TEST only, and there is no test_iter'
            yield NEVER.finding(what, document.where(layer.node))
            return


def _test_only(document: Document) -> Iterator[caffe_net.NetLayer]:
    if not document.problems:
        for layer in caffe_net.layers(document):
            rules = layer.message.include
            if rules and all(
                rule.HasField("phase") and rule.phase == caffe_net.TEST for rule in rules
            ):
                yield layer
