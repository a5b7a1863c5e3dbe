"""The library that DeepStream's ``nvinfer`` loads for our graphs, and the Makefile that builds it.

`SOURCE` implements two functions of ``nvdsinfer_custom_impl.h``: the parser of a detector's
outputs, and `NvDsInferInitializeInputLayers`, which fills every input but the picture, once, before
the first inference. ``nvinfer`` places boxes in a frame itself, so ``mapping`` is made to leave
them where they are in the network's input, and to cut them off where the frame ends in it.
"""

PARSE_FUNCTION = "NvDsInferParseMmdetJetson"
LIBRARY, SOURCE_FILE = "libnvdsinfer_mmdet_jetson.so", "nvdsinfer_mmdet_jetson.cpp"

# The size of a frame in the network's input is computed as get_converted_buffer of gstnvinfer.cpp
# does: it reads an even number of rows and columns, and drops fractions of a pixel.
SOURCE = r"""// Written by mmdet_jetson, for the detectors that it exports; `make` compiles it.

#include <cstring>
#include <iostream>
#include <vector>

#include "nvdsinfer_custom_impl.h"

namespace {

const NvDsInferLayerInfo *layer_of(
    std::vector<NvDsInferLayerInfo> const &layers, const char *name)
{
  for (auto const &layer : layers)
    if (layer.layerName && std::strcmp(layer.layerName, name) == 0)
      return &layer;
  return nullptr;
}

bool refuse(const char *reason)
{
  std::cerr << "nvdsinfer_mmdet_jetson: " << reason << std::endl;
  return false;
}

// How much of the network's input a frame covers, from the upper left corner on. Without the size
// of the frames that is all of it.
void covered_by_frame(NvDsInferNetworkInfo const &network, float &width, float &height)
{
  width = network.width;
  height = network.height;
#if defined(KEEP_RATIO) && defined(FRAME_WIDTH) && defined(FRAME_HEIGHT)
  const double frame_width = FRAME_WIDTH / 2 * 2, frame_height = FRAME_HEIGHT / 2 * 2;
  const double as_high = network.width * frame_height / frame_width;
  if (as_high <= network.height)
    height = static_cast<unsigned int>(as_high);
  else
    width = static_cast<unsigned int>(network.height * frame_width / frame_height);
#endif
}

}  // namespace

// Fills `mapping` [4] for each picture of a batch: what x and what y are multiplied with, and where
// boxes are cut off.
extern "C" bool NvDsInferInitializeInputLayers(
    std::vector<NvDsInferLayerInfo> const &inputLayersInfo,
    NvDsInferNetworkInfo const &networkInfo, unsigned int maxBatchSize)
{
  for (auto const &layer : inputLayersInfo) {
    const bool is_mapping = layer.layerName && std::strcmp(layer.layerName, "mapping") == 0;
    if (!is_mapping || layer.dataType != FLOAT || layer.inferDims.numElements != 4)
      return refuse("the engine has an input beside the picture that is not mapping [4]");
    float width, height;
    covered_by_frame(networkInfo, width, height);
    float *values = static_cast<float *>(layer.buffer);
    for (unsigned int picture = 0; picture < maxBatchSize; ++picture, values += 4) {
      values[0] = values[1] = 1.0f;
      values[2] = width;
      values[3] = height;
    }
  }
  return true;
}

// Reads `dets` [n, 5] (left, top, right, bottom in the network's input, score) and `labels` [n] of
// one picture. A row with score 0 or label -1 only fills up.
extern "C" bool NvDsInferParseMmdetJetson(
    std::vector<NvDsInferLayerInfo> const &outputLayersInfo,
    NvDsInferNetworkInfo const &networkInfo,
    NvDsInferParseDetectionParams const &detectionParams,
    std::vector<NvDsInferObjectDetectionInfo> &objectList)
{
  (void)networkInfo;
  const NvDsInferLayerInfo *dets = layer_of(outputLayersInfo, "dets");
  const NvDsInferLayerInfo *labels = layer_of(outputLayersInfo, "labels");
  if (!dets || !labels)
    return refuse("the engine has no outputs dets and labels");
  if (dets->dataType != FLOAT || labels->dataType != INT32)
    return refuse("dets are not FLOAT, or labels are not INT32");
  const unsigned int rows = labels->inferDims.numElements;
  if (dets->inferDims.numElements != 5 * rows)
    return refuse("dets are not [n, 5] for labels [n]");

  const float *row = static_cast<const float *>(dets->buffer);
  const int *label = static_cast<const int *>(labels->buffer);
  auto const &thresholds = detectionParams.perClassPreclusterThreshold;
  for (unsigned int index = 0; index < rows; ++index, row += 5, ++label) {
    const float score = row[4];
    if (!(score > 0.0f) || *label < 0)
      continue;
    const unsigned int class_id = static_cast<unsigned int>(*label);
    if (class_id >= detectionParams.numClassesConfigured)
      continue;
    if (class_id < thresholds.size() && score < thresholds[class_id])
      continue;
    if (!(row[2] > row[0] && row[3] > row[1]))
      continue;
    NvDsInferObjectDetectionInfo object = {};
    object.classId = class_id;
    object.left = row[0];
    object.top = row[1];
    object.width = row[2] - row[0];
    object.height = row[3] - row[1];
    object.detectionConfidence = score;
    objectList.push_back(object);
  }
  return true;
}

CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(NvDsInferParseMmdetJetson);
"""

# The last line of a Makefile's rule is the command, behind a tab.
_MAKEFILE = f"""# Written by mmdet_jetson. On the device: make FRAME_WIDTH=1920 FRAME_HEIGHT=1080
#
# The size is that of the frames as nvinfer gets them: width and height of nvstreammux. Without it
# boxes may reach into what pads a frame.

DEEPSTREAM ?= /opt/nvidia/deepstream/deepstream
CUDA ?= /usr/local/cuda
FRAME_WIDTH ?=
FRAME_HEIGHT ?=
CXX ?= g++
CXXFLAGS ?= -O2 -Wall

FRAME := $(if $(FRAME_WIDTH),-DFRAME_WIDTH=$(FRAME_WIDTH)) \\
  $(if $(FRAME_HEIGHT),-DFRAME_HEIGHT=$(FRAME_HEIGHT))

INCLUDES := $(DEEPSTREAM)/sources/includes
ifeq ($(wildcard $(INCLUDES)/nvdsinfer_custom_impl.h),)
$(error DeepStream's headers are not in $(INCLUDES): set DEEPSTREAM=FOLDER)
endif
ifeq ($(words $(FRAME_WIDTH) $(FRAME_HEIGHT)),1)
$(error FRAME_WIDTH and FRAME_HEIGHT go together: set both, or neither)
endif

{LIBRARY}: {SOURCE_FILE} Makefile
\t$(CXX) $(CXXFLAGS) -std=c++14 -shared -fPIC KEEP_RATIO_OPTION $(FRAME) \\
\t  -I$(INCLUDES) -I$(CUDA)/include -o $@ $<
"""


def makefile(keep_ratio: bool) -> str:
    """Give the Makefile for frames that keep their ratio in the network's input, or do not."""
    return _MAKEFILE.replace("KEEP_RATIO_OPTION ", "-DKEEP_RATIO " if keep_ratio else "")
