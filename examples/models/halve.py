"""halve.py IN.onnx OUT.onnx: stores the weights of a model in half precision.

Every float32 initialiser of at least 1 KiB becomes a float16 one behind a Cast
to float32, so that all computations stay in float32. The models of this folder
were made this way.
"""

import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper


def main():
    model = onnx.load(sys.argv[1])
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.raw_data) < 1024:
            continue
        name = tensor.name
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, name + ".f16"))
        casts.append(
            helper.make_node(
                "Cast", [tensor.name], [name], name="cast." + name,
                to=onnx.TensorProto.FLOAT,
            )
        )
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, sys.argv[2])


main()
