"""What DeepStream's ``nvinfer`` is to a custom library and to its configuration, without DeepStream.

The types are those of nvdsinfer.h and nvdsinfer_custom_impl.h as DeepStream documents them, as far as
a parser of boxes uses them. The keys are those of gstnvinfer_property_parser.h.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HEADER = """
#pragma once
#include <vector>

typedef struct { unsigned int numDims; unsigned int d[8]; unsigned int numElements; } NvDsInferDims;
typedef enum { FLOAT = 0, HALF = 1, INT8 = 2, INT32 = 3 } NvDsInferDataType;
typedef struct {
  NvDsInferDataType dataType;
  union { NvDsInferDims inferDims; NvDsInferDims dims; };
  int bindingIndex;
  const char *layerName;
  void *buffer;
  int isInput;
} NvDsInferLayerInfo;
typedef struct { unsigned int width; unsigned int height; unsigned int channels; } NvDsInferNetworkInfo;
typedef struct {
  unsigned int classId;
  float left; float top; float width; float height;
  float detectionConfidence;
} NvDsInferObjectDetectionInfo;
typedef struct {
  unsigned int numClassesConfigured;
  std::vector<float> perClassPreclusterThreshold;
  std::vector<float> perClassPostclusterThreshold;
} NvDsInferParseDetectionParams;

extern "C" {
typedef bool (*NvDsInferParseCustomFunc)(
    std::vector<NvDsInferLayerInfo> const &outputLayersInfo,
    NvDsInferNetworkInfo const &networkInfo,
    NvDsInferParseDetectionParams const &detectionParams,
    std::vector<NvDsInferObjectDetectionInfo> &objectList);
bool NvDsInferInitializeInputLayers(
    std::vector<NvDsInferLayerInfo> const &inputLayersInfo,
    NvDsInferNetworkInfo const &networkInfo, unsigned int maxBatchSize);
}
#define CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(name) \\
  static void check_##name(NvDsInferParseCustomFunc = name) __attribute__((unused)); \\
  static void check_##name(NvDsInferParseCustomFunc) {}
"""
# Loads the library as nvinfer does, by the names of its functions, and prints what they give.
HOST = """
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include "nvdsinfer_custom_impl.h"

static NvDsInferLayerInfo layer(const char *name, NvDsInferDataType type, unsigned int count)
{
  NvDsInferLayerInfo info = {};
  info.layerName = name;
  info.dataType = type;
  info.inferDims.numDims = 1;
  info.inferDims.d[0] = info.inferDims.numElements = count;
  return info;
}

static void read(NvDsInferLayerInfo &info, std::vector<char> &memory, const char *file)
{
  memory.resize(4 * info.inferDims.numElements);
  FILE *stream = std::fopen(file, "rb");
  if (!stream || std::fread(memory.data(), 1, memory.size(), stream) != memory.size()) std::abort();
  std::fclose(stream);
  info.buffer = memory.data();
}

int main(int, char **options)
{
  const NvDsInferNetworkInfo network = {(unsigned)atoi(options[3]), (unsigned)atoi(options[4]), 3};
  const unsigned int number = atoi(options[5]);
  void *library = dlopen(options[1], RTLD_NOW);
  if (!library) { std::fprintf(stderr, "%s\\n", dlerror()); return 2; }
  auto *function = dlsym(library, options[2]);
  if (!function) return 3;
  if (options[6][0] == 'i') {
    std::vector<float> values(4 * number, -7.0f);
    std::vector<NvDsInferLayerInfo> inputs = {layer(options[7], FLOAT, 4)};
    inputs[0].buffer = values.data();
    auto *fill = (decltype(&NvDsInferInitializeInputLayers))function;
    if (!fill(inputs, network, number)) return 1;
    for (float value : values) std::printf("%.9g\\n", value);
    return 0;
  }
  std::vector<char> rows, labels;
  std::vector<NvDsInferLayerInfo> outputs = {
    layer("nms", INT32, 3), layer("labels", options[9][0] == 'h' ? HALF : INT32, number),
    layer("dets", FLOAT, 5 * number)};
  read(outputs[1], labels, options[8]);
  read(outputs[2], rows, options[7]);
  NvDsInferParseDetectionParams parameters = {2, {0.3f, 0.6f}, {}};
  std::vector<NvDsInferObjectDetectionInfo> objects;
  if (!((NvDsInferParseCustomFunc)function)(outputs, network, parameters, objects)) return 1;
  for (auto const &object : objects)
    std::printf("%u %.9g %.9g %.9g %.9g %.9g\\n", object.classId, object.left, object.top,
                object.width, object.height, object.detectionConfidence);
}
"""
_PROPERTY = """
    gie-unique-id process-mode interval labelfile-path gpu-id secondary-reinfer-interval
    output-tensor-meta disable-output-host-copy auto-inc-mem max-gpu-mem-per enable-dla use-dla-core
    dump-input-tensor dump-output-tensor overwrite-input-tensor overwrite-output-tensor
    ip-tensor-file op-tensor-files raw-output-file-write batch-size tensor-meta-pool-size
    network-mode model-engine-file int8-calib-file workspace-size output-blob-names is-classifier
    network-type force-implicit-batch-dim infer-dims output-io-formats layer-device-precision
    model-color-format net-scale-factor offsets mean-file maintain-aspect-ratio symmetric-padding
    scaling-filter scaling-compute-hw network-input-order input-tensor-from-meta custom-lib-path
    parse-bbox-func-name parse-bbox-instance-mask-func-name parse-segmentation-func-name
    engine-create-func-name parse-classifier-func-name custom-network-config model-file proto-file
    uff-file uff-input-order input-dims uff-input-dims uff-input-blob-name tlt-encoded-model
    tlt-model-key onnx-file num-detected-classes enable-dbscan cluster-mode
    crop-objects-to-roi-boundary strongly-typed dynamic-properties warmup-engine
    stabilize-buffer-count classifier-type classifier-threshold classifier-async-mode
    segmentation-threshold segmentation-output-order output-instance-mask input-object-min-width
    input-object-min-height input-object-max-width input-object-max-height operate-on-gie-id
    operate-on-class-ids filter-out-class-ids
"""
_CLASSES = """
    threshold pre-cluster-threshold post-cluster-threshold eps group-threshold minBoxes
    dbscan-min-score roi-top-offset roi-bottom-offset detected-min-w detected-min-h detected-max-w
    detected-max-h border-color bg-color nms-iou-threshold topk
"""
PROPERTY_KEYS, CLASS_KEYS = set(_PROPERTY.split()), set(_CLASSES.split())


@dataclass(frozen=True)
class Host:
    """A program that loads a custom library; ``width`` and ``height`` are the network's."""

    folder: Path
    library: Path
    width: int
    height: int

    @classmethod
    def of(cls, exported: Path, folder: Path, size: tuple[int, int], *options: str) -> "Host":
        """Compile what was exported by its own Makefile, and the program."""
        includes = folder / "sources/includes"
        includes.mkdir(parents=True)
        (includes / "nvdsinfer_custom_impl.h").write_text(HEADER)
        strict = "CXXFLAGS=-O2 -Wall -Wextra -Werror"
        subprocess.run(
            ["make", "-s", "-B", f"DEEPSTREAM={folder}", strict, *options], cwd=exported, check=True
        )
        command = [
            "g++",
            "-Wall",
            f"-I{includes}",
            "-x",
            "c++",
            "-",
            "-o",
            f"{folder}/host",
            "-ldl",
        ]
        subprocess.run(command, input=HOST, text=True, check=True)
        return cls(folder, next(exported.glob("*.so")), *size)

    def fill(self, pictures: int, name: str = "mapping") -> np.ndarray:
        """Have the inputs beside the picture filled: float32 [pictures, 4]."""
        said = self._run("NvDsInferInitializeInputLayers", pictures, "i", name)
        return np.array(said.split(), np.float32).reshape(pictures, 4)

    def parse(
        self, function: str, dets: np.ndarray, labels: np.ndarray, *, half: bool = False
    ) -> np.ndarray:
        """Have the outputs of a picture parsed: float32 [objects, 6]: class, box, score.

        A box is left, top, width, height. ``half`` says that labels are of another type.
        """
        files = [self.folder / "dets", self.folder / "labels"]
        dets.astype(np.float32).tofile(files[0])
        labels.astype(np.int32).tofile(files[1])
        kind = "half" if half else "int32"
        said = self._run(function, labels.size, "p", *map(str, files), kind)
        return np.array(said.split(), np.float32).reshape(-1, 6)

    def _run(self, function: str, number: int, *options: str) -> str:
        network = [str(self.width), str(self.height), str(number)]
        program = [f"{self.folder}/host", f"{self.library}", function, *network, *options]
        return subprocess.check_output(program, stderr=subprocess.PIPE, text=True)


def scaled_size(network: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """Give how large a frame is in the network's input, as get_converted_buffer computes it."""
    width, height = frame[0] // 2 * 2, frame[1] // 2 * 2
    as_high = network[0] * height / width
    if as_high <= network[1]:
        return network[0], int(as_high)
    return int(network[1] * width / height), network[1]


def placed(objects: np.ndarray, network: tuple[int, int], frame: tuple[int, int]) -> np.ndarray:
    """Place parsed objects in their frame, as attach_metadata_detector does.

    ``objects`` and the result are [n, 6]; boxes become left, top, right, bottom.
    """
    ratio = np.array(scaled_size(network, frame)) / (np.array(frame) // 2 * 2)
    boxes = objects[:, 1:5].astype(np.float64) / np.tile(ratio, 2)
    boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], np.array(frame))
    return np.column_stack([objects[:, :1], boxes, objects[:, 5:]])
