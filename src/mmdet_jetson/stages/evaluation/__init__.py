"""How well detections fit the ground truth."""
