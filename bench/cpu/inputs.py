"""Models and data of cases, in the form that all peers take."""

import dataclasses
import re

import numpy as np

import cases
import common
import peers


def float_model(path, cache):
    """The models in examples/ hold half precision; peers get f32."""
    import onnx
    from onnx import numpy_helper
    target = cache / f"{path.stem}-f32.onnx"
    if target.exists():
        return target
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    folded = {t.name for t in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.input[0] in folded:
            node.op_type = "Identity"
            del node.attribute[:]
    onnx.save(model, target)
    return target


def model_of(case, arguments):
    model = common.model_path(case.model, arguments.models)
    return float_model(model, arguments.cache) if case.is_example else model


def data_of(case, model, cache):
    """A file with the inputs of the case; past tensors are what the model itself
    makes of the tokens before."""
    path = cache / f"{case.name}-inputs.npz"
    inputs = peers.onnx_inputs(model)
    data = cases.make_inputs(case, inputs)
    if case.past:
        import onnxruntime
        before = dataclasses.replace(case, tokens=case.past, past=0)
        feed = cases.make_inputs(before, inputs)
        feed["input_ids"] = cases.past_tokens(case)
        session = onnxruntime.InferenceSession(
            model, providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        made = dict(zip(names, session.run(None, feed)))
        for name in data:
            if name.startswith("past"):
                present = re.sub(r"^past(_key_values)?", "present", name)
                data[name] = made[present]
    np.savez(path, **data)
    return path
