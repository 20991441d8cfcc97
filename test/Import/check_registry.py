# Compares the operator table with the schemas of the Python packages onnx and
# (for com.microsoft) onnxruntime: numbers and names of operands, attributes,
# defaults, and that every element type of a schema is allowed.
#
# RUN: lathe-translate --print-registry -o %t
# RUN: %python %s %t

import json
import sys

import onnx
import onnx.defs

# What Lathe refuses on purpose: types, and attributes that only carry strings.
UNSUPPORTED_TYPES = {
    "string", "complex64", "complex128", "float6e2m3", "float6e3m2",
}  # fmt: skip
SKIPPED_ATTRIBUTES = {
    ("", "Constant", "sparse_value"),
    ("", "Constant", "value_string"),
    ("", "Constant", "value_strings"),
}
TYPE_CODES = {
    "float": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6,
    "int64": 7, "bool": 9, "float16": 10, "double": 11, "uint32": 12,
    "uint64": 13, "bfloat16": 16, "float8e4m3fn": 17, "float8e4m3fnuz": 18,
    "float8e5m2": 19, "float8e5m2fnuz": 20, "uint4": 21, "int4": 22,
    "float4e2m1": 23, "float8e8m0": 24, "uint2": 25, "int2": 26,
}  # fmt: skip


def schemas():
    """All schemas by (domain, name, since), those of ONNX Runtime included."""
    found = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        found[schema.domain, schema.name, schema.since_version] = schema
    try:
        from onnxruntime.capi.onnxruntime_pybind11_state import (
            get_all_operator_schema,
        )
    except ImportError:
        print("note: this onnxruntime shows no schemas; com.microsoft unchecked")
        return found
    for schema in get_all_operator_schema():
        key = schema.domain, schema.name, schema.since_version
        found.setdefault(key, schema)
    return found


def schema_at(table, domain, name, opset):
    versions = [v for d, n, v in table if (d, n) == (domain, name) and v <= opset]
    return table[domain, name, max(versions)] if versions else None


def element_types(schema, operand):
    text = getattr(operand, "type_str", None) or operand.typeStr
    for constraint in schema.type_constraints:
        if constraint.type_param_str == text:
            return constraint.allowed_type_strs
    return [text]


def option(operand):
    return str(operand.option).rsplit(".", 1)[-1]


def check_operands(label, schema, ours, theirs, are_inputs):
    if len(ours) != len(theirs):
        yield f"{label}: {len(ours)} operands in the table, {len(theirs)} in ONNX"
        return
    for mine, operand in zip(ours, theirs):
        if mine["name"] != operand.name and option(operand) != "Variadic":
            yield f"{label}: '{mine['name']}' is '{operand.name}' in ONNX"
        if mine["variadic"] != (option(operand) == "Variadic"):
            yield f"{label}: '{operand.name}' is variadic in one place only"
        if not mine["variadic"] and mine["optional"] != (
            option(operand) == "Optional"
        ):
            yield f"{label}: '{operand.name}' is optional in one place only"
        if not are_inputs:
            continue
        for text in element_types(schema, operand):
            name = text.removeprefix("tensor(").removesuffix(")")
            if not text.startswith("tensor(") or name in UNSUPPORTED_TYPES:
                continue
            if TYPE_CODES.get(name) not in mine["types"]:
                yield f"{label}: '{operand.name}' does not take {name}"


def default_of(attribute):
    if hasattr(attribute, "default_value"):
        proto = attribute.default_value
    else:
        proto = onnx.AttributeProto()
        proto.ParseFromString(attribute._default_value)
    return onnx.helper.get_attribute_value(proto) if proto.type else None


def same_default(text, value):
    if value is None:
        return text == ""
    if isinstance(value, float):
        return text != "" and abs(float(text) - value) <= 1e-6 * abs(value)
    if isinstance(value, bytes):
        return text == value.decode()
    if isinstance(value, (list, tuple)):
        return text.strip("[]").split() == [str(v) for v in value]
    return text == str(value)


def check_attributes(label, entry, schema):
    ours = {a["name"]: a for a in entry["attributes"]}
    key = entry["domain"], entry["name"]
    for name, attribute in schema.attributes.items():
        kind = str(attribute.type).rsplit(".", 1)[-1].lower()
        if (*key, name) in SKIPPED_ATTRIBUTES:
            continue
        mine = ours.pop(name, None)
        if mine is None:
            yield f"{label}: no attribute '{name}'"
            continue
        if mine["kind"] != kind:
            yield f"{label}: '{name}' is {mine['kind']}, {kind} in ONNX"
        if mine["required"] != attribute.required:
            yield f"{label}: '{name}' is required in one place only"
        if not same_default(mine["default"], default_of(attribute)):
            yield (
                f"{label}: default of '{name}' is {mine['default']!r}, "
                f"{default_of(attribute)!r} in ONNX"
            )
    for name in ours:
        yield f"{label}: ONNX has no attribute '{name}'"


def check(entry, table):
    domain, name = entry["domain"], entry["name"]
    newest = onnx.defs.onnx_opset_version() if domain == "" else entry["since"]
    last = min(entry["until"], newest)
    # Every version that ONNX has inside the range of this form.
    opsets = {entry["since"]} | {
        v for d, n, v in table if (d, n) == (domain, name)
        and entry["since"] < v <= last
    }  # fmt: skip
    for opset in sorted(opsets):
        label = f"{domain or 'ai.onnx'}.{name}-{opset}"
        schema = schema_at(table, domain, name, opset)
        if schema is None:
            # The default domain's operators also count as com.microsoft's.
            schema = schema_at(table, "", name, opset)
        if schema is None:
            yield f"{label}: unknown to ONNX"
            continue
        yield from check_operands(label, schema, entry["inputs"], schema.inputs, True)
        yield from check_operands(
            label, schema, entry["outputs"], schema.outputs, False
        )
        yield from check_attributes(label, entry, schema)


def main():
    table = schemas()
    with open(sys.argv[1]) as lines:
        entries = [json.loads(line) for line in lines]
    problems = [problem for entry in entries for problem in check(entry, table)]
    for problem in problems:
        print(problem)
    print(f"{len(entries)} forms checked, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
