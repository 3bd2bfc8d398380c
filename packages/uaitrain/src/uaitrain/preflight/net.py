"""The nets: do they exist, can Caffe read them, and do their layers join up?"""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.frameworks.caffe import BOTTOMS, LAYER_TYPES
from uaitrain.frameworks.caffe_net import TRAIN, NetLayer
from uaitrain.frameworks.prototxt import Document
from uaitrain.nearest import nearest
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look, NetUse, Presence
from uaitrain.preflight.prototxt_findings import findings
from uaitrain.preflight.rule import error, note, warning

MISSING = error(
    "net-missing",
    "a net that the solver names does not exist",
    "Caffe aborts: could not open the net",
    "give the path as the container sees it; relative ones count from /data",
)
ELSEWHERE = note(
    "net-not-looked-at",
    "a net lies outside /data, inside the base image",
    "its layers and data sources could not be checked",
    "keep the net with the code or the data to have it checked",
)
MIXED = error(
    "net-mixed-ages",
    "a net has both `layer` and the old `layers`",
    "Caffe aborts: refusing to upgrade an inconsistent net",
    "use `layer` throughout",
)
TYPE = error(
    "layer-type-unknown",
    "a net layer's type is not one of Caffe's 61",
    "Caffe aborts: unknown layer type",
    "use a type of BVLC Caffe 1.0, or a Python layer",
)
COUNT = error(
    "layer-bottoms",
    "a net layer has too few or too many bottoms for its type",
    "Caffe aborts: the layer takes another number of bottom blobs",
    "give it the bottoms that its type wants",
)
RULES_BOTH = error(
    "layer-include-and-exclude",
    "a net layer has both include and exclude rules",
    "Caffe aborts: specify either include rules or exclude rules",
    "keep one kind",
)
BOTTOM = error(
    "bottom-unknown",
    "a net layer's bottom is made by no layer before it in that phase",
    "Caffe aborts: unknown bottom blob",
    "correct the name, or make the blob in this phase, too",
)
TOP = error(
    "top-twice",
    "two net layers make the same top in one phase",
    "Caffe aborts: top blob produced by multiple sources",
    "rename one, or add an include rule with a phase",
)
NAME = warning(
    "layer-name-twice",
    "two net layers of one phase have the same name",
    "loading weights and snapshots by name fills only one of them rightly",
    "give each layer its own name",
)
EMPTY = error(
    "net-empty",
    "no layer of the net is left for a phase",
    "there is nothing to train or test",
    "check the include and exclude rules",
)
NO_LOSS = warning(
    "net-no-loss",
    "the train net has no loss layer and no loss_weight",
    "no gradient is computed and nothing is trained",
    "add a loss layer, for instance SoftmaxWithLoss",
)
MODULE = warning(
    "python-layer-module",
    "a Python layer's module is not in the code folder",
    "Caffe aborts with ModuleNotFoundError unless the base brings the module",
    "put <module>.py beside the main file",
)
NOT_FED = warning(
    "net-not-fed",
    "the train net has input fields, an Input or a MemoryData layer, and train.py is the stock one",
    "nothing fills them: the net trains on zeros, or Caffe aborts for MemoryData",
    "name the train net, not the deploy net, or feed it from a main file of your own",
)
RULES = (
    MISSING, ELSEWHERE, MIXED, TYPE, COUNT, RULES_BOTH, BOTTOM, TOP, NAME, EMPTY, NO_LOSS, MODULE,
    NOT_FED,
)  # fmt: skip

FED_BY_PROGRAMS = ("Input", "MemoryData")


def check(look: Look) -> Iterator[Finding]:
    for file in look.net_files:
        presence = look.presence(file.place)
        if presence is Presence.UNKNOWN:
            what = f"the net {file.path} lies inside the base image"
            yield ELSEWHERE.finding(what, file.said_at)
        elif look.nets[file.place.container] is None and not look.told_already(file.place):
            near = look.nearby(file.place)
            mend = f"did you mean {' or '.join(near)}?" if near else ""
            yield MISSING.finding(f"no net: {look.absence(file.place)}", file.said_at, mend)
    for document in look.nets.values():
        if document is not None:
            yield from findings(document)
            if not document.problems:
                yield from _ages(document)
    # A layer that both phases use is told once.
    told: set[Finding] = set()
    for use in look.uses:
        for finding in _use(look, use):
            if finding not in told:
                told.add(finding)
                yield finding


def _ages(document: Document) -> Iterator[Finding]:
    if document.message.layer and document.message.layers:
        where = document.where(document.root.at("layers"))
        yield MIXED.finding("both `layer` and `layers`", where)


def _use(look: Look, use: NetUse) -> Iterator[Finding]:
    if not use.layers:
        what = f"no layer is left in phase {use.phase}"
        yield EMPTY.finding(what, str(use.document.path))
        return
    for layer in use.layers:
        yield from _layer(look, use, layer)
    yield from _joints(use)
    if look.is_stock and use.state.phase == TRAIN:
        yield from _fed(use)
    if use.state.phase == TRAIN and not any(_is_loss(layer) for layer in use.layers):
        yield NO_LOSS.finding("the train net has no loss", str(use.document.path))


def _fed(use: NetUse) -> Iterator[Finding]:
    document = use.document
    if document.message.input:
        what = f'the train net has the input "{document.message.input[0]}"'
        yield NOT_FED.finding(what, document.where(document.root.at("input")))
    for layer in use.layers:
        if layer.type in FED_BY_PROGRAMS:
            what = f'layer "{layer.name}" has type {layer.type}'
            yield NOT_FED.finding(what, document.where(layer.node))


def _layer(look: Look, use: NetUse, layer: NetLayer) -> Iterator[Finding]:
    document = use.document
    if layer.message.include and layer.message.exclude:
        where = document.where(layer.node.at("exclude"))
        yield RULES_BOTH.finding(f'layer "{layer.name}" has include and exclude', where)
    if layer.type not in LAYER_TYPES and not _is_v0(layer):
        near = nearest(layer.type, LAYER_TYPES, 0.5)
        mend = f'did you mean "{near}"?' if near else ""
        where = document.where(layer.node.at("type"))
        what = f'layer "{layer.name}" has type "{layer.type}"'
        yield TYPE.finding(what if layer.type else f'layer "{layer.name}" has no type', where, mend)
    fewest, most = BOTTOMS.get(layer.type, (0, None))
    count = len(layer.bottoms)
    if count < fewest or (most is not None and count > most):
        wanted = f"{fewest}" if most == fewest else f"{fewest} to {most or 'any number'}"
        what = f'layer "{layer.name}" ({layer.type}) has {count} bottoms, it takes {wanted}'
        yield COUNT.finding(what, document.where(layer.node))
    if layer.type == "Python":
        yield from _python_module(look, use, layer)


def _python_module(look: Look, use: NetUse, layer: NetLayer) -> Iterator[Finding]:
    module = layer.message.python_param.module.replace(".", "/")
    if f"{module}.py" not in look.entries and f"{module}/__init__.py" not in look.entries:
        where = use.document.where(layer.node.at("python_param").at("module"))
        yield MODULE.finding(f'layer "{layer.name}" imports {module}', where)


def _joints(use: NetUse) -> Iterator[Finding]:
    where = use.document.where
    made = set(use.document.message.input)
    names: set[str] = set()
    for layer in use.layers:
        if layer.name and layer.name in names:
            node = layer.node.at("name")
            yield NAME.finding(f'two layers are named "{layer.name}"', where(node))
        names.add(layer.name)
        for index, bottom in enumerate(layer.bottoms):
            if bottom not in made:
                near = nearest(bottom, made)
                mend = f'did you mean "{near}"?' if near else ""
                what = f'bottom "{bottom}" of layer "{layer.name}" is unknown in {use.phase}'
                yield BOTTOM.finding(what, where(layer.node.at("bottom", index)), mend)
        for index, top in enumerate(layer.tops):
            in_place = index < len(layer.bottoms) and layer.bottoms[index] == top
            if top in made and not in_place:
                what = f'top "{top}" of layer "{layer.name}" is made twice in {use.phase}'
                yield TOP.finding(what, where(layer.node.at("top", index)))
            made.add(top)


def _is_v0(layer: NetLayer) -> bool:
    return not layer.type and hasattr(layer.message, "blob_share_mode")


def _is_loss(layer: NetLayer) -> bool:
    explicit = list(layer.message.loss_weight)
    return any(explicit) if explicit else layer.type.endswith("Loss") or _is_v0(layer)
