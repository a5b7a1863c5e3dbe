"""From a trained model to ONNX, through MMDeploy."""
