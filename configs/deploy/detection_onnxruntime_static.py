"""MMDeploy's static detection config for ONNX Runtime, in one file.

The input size is a stand-in: the stage `export` writes the pipeline's own over it.
"""

backend_config = {"type": "onnxruntime"}

onnx_config = {
    "type": "onnx",
    "export_params": True,
    "keep_initializers_as_inputs": False,
    "opset_version": 11,
    "save_file": "end2end.onnx",
    "input_names": ["input"],
    "output_names": ["dets", "labels"],
    "input_shape": [640, 640],
    "optimize": True,
}

# The heads of RTMDet and YOLOX take score, IoU and keep from the model's test_cfg where it has
# them; docs/conversion.md says which of these values reach the graph.
codebase_config = {
    "type": "mmdet",
    "task": "ObjectDetection",
    "model_type": "end2end",
    "post_processing": {
        "score_threshold": 0.05,
        "confidence_threshold": 0.005,
        "iou_threshold": 0.5,
        "max_output_boxes_per_class": 200,
        "pre_top_k": 5000,
        "keep_top_k": 100,
        "background_label_id": -1,
    },
}
