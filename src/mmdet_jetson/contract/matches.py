"""``matches.npz`` of an evaluation: what COCO's rule makes of every detection, picture by picture.

So a gate or a report can resample the pictures without pycocotools, and compare two models on the
same pictures in pairs. Objects of every size count, and at most the 100 best detections of a
picture and class, as in COCO's AP. The arrays, by name:

``pictures``  str [P]: the file names of the validation pictures, sorted
``classes``   str [C]: in the order of the dataset
``objects``   int32 [P, C]: objects to be found, without those to be ignored (crowds)
``picture``   int32 [D]: the index of each detection's picture
``label``     int32 [D]: and of its class
``score``     float32 [D]
``matched``   uint16 [D]: bit i is set if it found an object at ``IOU_THRESHOLDS[i]``
``ignored``   uint16 [D]: bit i is set if it counts neither for nor against there

The detections of a class stand in COCO's order: by score, the highest first, and where scores are
equal by picture.
"""

MATCHES = "matches.npz"
IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
RECALL_LEVELS = 101
"""COCO's: 0, 0.01, ... 1."""
