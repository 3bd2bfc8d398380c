"""Net layers in Python: the same module gives the same numbers as in pycaffe."""

from __future__ import annotations

from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.errors import DefinitionError
from face import both
from oracle.client import Oracle

MODULE = """
import caffe
import numpy as np

LOG = []

class Scaled(caffe.Layer):
    def setup(self, bottom, top):
        LOG.append("setup %d %d %s %d %s" % (len(bottom), len(top), self.param_str, self.phase,
                                             list(bottom[0].shape)))
        self.factor = float(self.param_str)
        self.blobs.add_blob(3)
        self.blobs[0].data[...] = 2

    def reshape(self, bottom, top):
        LOG.append("reshape")
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data * self.factor

    def backward(self, top, propagate_down, bottom):
        LOG.append("down %s" % [bool(x) for x in propagate_down])
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum(axis=0) * self.factor
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.blobs[0].data * self.factor

class Loss(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("two bottoms")

    def reshape(self, bottom, top):
        self.diff = np.zeros(bottom[0].data.shape, np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff ** 2) / bottom[0].num / 2.

    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if propagate_down[i]:
                sign = 1 if i == 0 else -1
                bottom[i].diff[...] = sign * self.diff * top[0].diff[0] / bottom[i].num

class Counting(caffe.Layer):
    def setup(self, bottom, top):
        self.count = 0

    def reshape(self, bottom, top):
        self.count += 1
        top[0].reshape(self.count, 2)

    def forward(self, bottom, top):
        top[0].data[...] = self.count

    def backward(self, top, propagate_down, bottom):
        pass

class Doubled(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): pass
    def forward(self, bottom, top): top[0].data[...] *= 2
    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] *= 2

class Broken(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(1)
    def forward(self, bottom, top): raise KeyError("the user's")

class Partial(caffe.Layer):
    def setup(self, bottom, top): pass

class Foreign(object):
    pass
"""
LEARNS = """
    layer { name: "in" type: "Input" top: "data" top: "goal"
      input_param { shape { dim: 4 dim: 3 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
      inner_product_param { num_output: 3 weight_filler { type: "constant" value: 0.2 } } }
    layer { name: "s" type: "Python" bottom: "ip" top: "s" python_param {
      module: "face_layers" layer: "Scaled" param_str: "1.5" share_in_parallel: true } }
    layer { name: "l" type: "Python" bottom: "s" bottom: "goal" top: "l" loss_weight: 2
      python_param { module: "face_layers" layer: "Loss" } }
"""
SCRIPTS = {
    "learnable blobs and a loss": (
        LEARNS,
        """
        import face_layers
        face_layers.LOG[:] = []
        net = caffe.Net(at("net.prototxt"), caffe.TRAIN)
        r = np.random.RandomState(1)
        for step in range(2):
            net.blobs["data"].data[...] = r.randn(4, 3)
            net.blobs["goal"].data[...] = r.randn(4, 3)
            out["loss %d" % step] = net.forward()["l"].copy()
            net.backward()
            out["s %d" % step] = net.params["s"][0].diff.copy()
            out["ip %d" % step] = net.params["ip"][0].diff.copy()
            out["diff %d" % step] = net.blobs["s"].diff.copy()
            net.params["s"][0].data[...] -= 0.1 * net.params["s"][0].diff
        out["log"] = face_layers.LOG
        layer = net.layers[list(net._layer_names).index("s")]
        out["type"] = [layer.type, type(layer).__name__, str(layer.factor)]
        """,
    ),
    "a new shape at every forward": (
        """
        layer { name: "c" type: "Python" top: "c"
          python_param { module: "face_layers" layer: "Counting" } }
        layer { name: "p" type: "Power" bottom: "c" top: "p" power_param { scale: 3 } }
        """,
        """
        net = caffe.Net(at("net.prototxt"), caffe.TRAIN)
        for step in range(3):
            out["p %d" % step] = net.forward()["p"].copy()
        """,
    ),
    "in place": (
        """
        force_backward: true
        layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 2 } } }
        layer { name: "a" type: "Power" bottom: "data" top: "a" power_param { scale: 3 } }
        layer { name: "d" type: "Python" bottom: "a" top: "a"
          python_param { module: "face_layers" layer: "Doubled" } }
        layer { name: "e" type: "Reduction" bottom: "a" top: "e" loss_weight: 1 }
        """,
        """
        net = caffe.Net(at("net.prototxt"), caffe.TRAIN)
        for step in range(2):
            net.blobs["data"].data[...] = step + 1
            out["e %d" % step] = net.forward()["e"].copy()
            out["a %d" % step] = net.blobs["a"].data.copy()
            out["diff %d" % step] = net.backward()["data"].copy()
        """,
    ),
    "an exception of the user's": (
        """
        layer { name: "b" type: "Python" top: "b"
          python_param { module: "face_layers" layer: "Broken" } }
        """,
        """
        net = caffe.Net(at("net.prototxt"), caffe.TRAIN)
        try:
            net.forward()
        except KeyError as error:
            out["text"] = str(error)
        """,
    ),
    "training": (
        LEARNS.replace('"Input"', '"DummyData"').replace(
            "input_param { shape { dim: 4 dim: 3 } }",
            "dummy_data_param { shape { dim: 4 dim: 3 } data_filler { type: 'gaussian' } }",
        ),
        """
        with open(at("solver.prototxt"), "w") as file:
            file.write('net: "%s" base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 random_seed: 4 '
                       'snapshot_prefix: "%s"' % (at("net.prototxt"), at("face")))
        solver = caffe.get_solver(at("solver.prototxt"))
        for step in range(4):
            solver.step(1)
            out["w %d" % step] = solver.net.params["s"][0].data.copy()
            out["loss %d" % step] = solver.net.blobs["l"].data.copy()
        """,
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_layer_in_python_does_what_it_does_in_pycaffe(
    oracle: Oracle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, script = SCRIPTS[name]

    both(oracle, script, {"net.prototxt": net, "face_layers.py": MODULE}, monkeypatch)


def net_of(tmp_path: Path, module: str, layer: str) -> str:
    (tmp_path / "face_wrong.py").write_text(MODULE)
    (tmp_path / "face_unfit.py").write_text("import no_such_thing\n")
    path = tmp_path / "net.prototxt"
    path.write_text(
        f'layer {{ name: "mine" type: "Python" top: "t" '
        f'python_param {{ module: "{module}" layer: "{layer}" }} }}'
    )
    return str(path)


@pytest.mark.parametrize(
    ("module", "layer", "kind", "says"),
    [
        ("no_module", "X", ImportError, 'layer "mine" .*there is no module "no_module"'),
        ("face_unfit", "X", ModuleNotFoundError, "no_such_thing"),
        ("face_wrong", "Nope", DefinitionError, 'has no "Nope"'),
        ("face_wrong", "Foreign", DefinitionError, "derives from caffe.Layer"),
        ("face_wrong", "Partial", NotImplementedError, "Partial has no reshape"),
    ],
)
def test_what_is_no_layer_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    layer: str,
    kind: type[Exception],
    says: str,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(kind, match=says):
        caffe.Net(net_of(tmp_path, module, layer), caffe.TRAIN)


def test_a_users_exception_tells_the_layer_and_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    net = caffe.Net(net_of(tmp_path, "face_wrong", "Broken"), caffe.TRAIN)

    with pytest.raises(KeyError) as caught:
        net.forward()

    assert caught.value.__notes__ == ['in forward of layer "mine" (Python: face_wrong.Broken)']
    assert caught.traceback[-1].path.name == "face_wrong.py"


def test_a_bottoms_view_is_the_nets_own_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "face_views.py").write_text(
        "import caffe\n"
        "class See(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(1)\n"
        "    def forward(self, bottom, top): self.seen = bottom[0].data\n"
    )
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 } } }'
        'layer { name: "see" type: "Python" bottom: "x" top: "t" '
        'python_param { module: "face_views" layer: "See" } }'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    net = caffe.Net(str(path), caffe.TEST)
    given = net.blobs["x"].data
    net.forward()

    assert np.shares_memory(net.layers[1].seen, given)
