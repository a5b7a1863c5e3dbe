"""Triton's ``ModelConfig`` as far as a config.pbtxt of ours goes, for protobuf's own text parser.

Names, numbers and types are those of protobuf/model_config.proto of triton-inference-server/common.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message

Field = descriptor_pb2.FieldDescriptorProto
KINDS = {
    "string": Field.TYPE_STRING,
    "int32": Field.TYPE_INT32,
    "uint32": Field.TYPE_UINT32,
    "int64": Field.TYPE_INT64,
}
ENUMS = {
    "DataType": {
        "TYPE_INVALID": 0, "TYPE_BOOL": 1, "TYPE_UINT8": 2, "TYPE_UINT16": 3, "TYPE_UINT32": 4,
        "TYPE_UINT64": 5, "TYPE_INT8": 6, "TYPE_INT16": 7, "TYPE_INT32": 8, "TYPE_INT64": 9,
        "TYPE_FP16": 10, "TYPE_FP32": 11, "TYPE_FP64": 12, "TYPE_STRING": 13, "TYPE_BF16": 14,
    },
    "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3},
    "SecondaryDeviceKind": {"KIND_NVDLA": 0},
}  # fmt: skip
# A star marks what is repeated.
MESSAGES = {
    "SecondaryDevice": [("kind", 1, "SecondaryDeviceKind"), ("device_id", 2, "int64")],
    "ModelInstanceGroup": [
        ("name", 1, "string"),
        ("count", 2, "int32"),
        ("kind", 4, "Kind"),
        ("secondary_devices", 8, "SecondaryDevice*"),
    ],
    "ModelInput": [("name", 1, "string"), ("data_type", 2, "DataType"), ("dims", 4, "int64*")],
    "ModelOutput": [
        ("name", 1, "string"),
        ("data_type", 2, "DataType"),
        ("dims", 3, "int64*"),
        ("label_filename", 4, "string"),
    ],
    "Latest": [("num_versions", 1, "uint32")],
    "ModelVersionPolicy": [("latest", 1, "Latest")],
    "ModelConfig": [
        ("name", 1, "string"),
        ("platform", 2, "string"),
        ("version_policy", 3, "ModelVersionPolicy"),
        ("max_batch_size", 4, "int32"),
        ("input", 5, "ModelInput*"),
        ("output", 6, "ModelOutput*"),
        ("instance_group", 7, "ModelInstanceGroup*"),
        ("default_model_filename", 8, "string"),
        ("backend", 17, "string"),
    ],
}


def parsed(text: str) -> Message:
    """Parse a config.pbtxt.

    Raises:
        text_format.ParseError: it is none: a field, a type or a value that Triton does not know.
    """
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
    return text_format.Parse(text, kind())


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="model_config.proto", package="inference", syntax="proto3"
    )
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            base = kind.rstrip("*")
            label = Field.LABEL_REPEATED if kind.endswith("*") else Field.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if base in KINDS:
                added.type = KINDS[base]
            else:
                added.type = Field.TYPE_ENUM if base in ENUMS else Field.TYPE_MESSAGE
                added.type_name = f".inference.{base}"
    return file
