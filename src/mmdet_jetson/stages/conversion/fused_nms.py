"""Greedy non-maximum suppression (NMS) per class, in operators that every ONNX backend has.

NMS looks like a loop over boxes whose length depends on the picture, which compilers dislike. It is
also the only fixed point of a rule about all boxes at once: in order of their scores, a box is kept
if no kept box before it overlaps it by more than the threshold. Starting from "all are kept" and
applying the rule again and again, a box is decided for good after as many rounds as the chain of
suppressions that ends in it is long, so a fixed number of rounds does. The graph counts how many
boxes still changed in its last round: 0 proves that it has reached the fixed point.

Only the best ``candidates`` pairs of a box and a class take part. Greedy NMS decides about a pair
by the pairs before it alone, so it says about these what it would say with all pairs present. What
can be missing are detections behind the last of them: see `FusedDetector.is_complete`.

The arithmetic is that of ``mmcv.ops.batched_nms`` on a CPU, step by step. It keeps classes apart by
shifting the boxes of each by more than the largest coordinate of any, which rounds them, and it
compares an overlap after the division, so that 0/0 suppresses nothing: here 0 divided by 2**-24
square pixels, since a calibrator wants numbers, and half precision has none nearer to 0.

Where scores have a factor, such as the centerness of FCOS, the score alone has to pass the
threshold, and their product is what boxes are sorted by and what leaves.
"""

from dataclasses import dataclass
from string import Template
from typing import Iterable, Optional

import onnx
from onnx import parser

OPSET = 13
# The format that PyTorch 1.11 writes; graphs must have the same to be joined.
IR_VERSION = 7


@dataclass(frozen=True)
class NmsLimits:
    """What decides which boxes are detections.

    ``inclusive``: whether a score equal to the threshold passes. ``min_size``: boxes must be wider
    and higher than this, in pixels of the picture; None lets even boxes pass that are inside out.
    ``candidates`` of the best pairs take part; at most ``keep`` detections leave. ``votes``:
    whether a detection's box becomes the mean of all candidates of its class that overlap it,
    weighted by their scores and by how much they do: the score voting of PAA.
    """

    score_threshold: float
    inclusive: bool
    iou_threshold: float
    min_size: Optional[float]
    keep: int
    candidates: int
    rounds: int
    votes: bool = False


@dataclass(frozen=True)
class Given:
    """What comes into NMS: ``boxes`` of each of ``batch`` pictures with ``classes`` scores each.

    ``has_factors``: whether a box also has a factor of its scores. ``border``: how many pixels of
    the network's input inside the picture's border boxes are cut off; None lets them reach beyond.
    """

    batch: int
    boxes: int
    classes: int
    has_factors: bool = False
    border: Optional[float] = None


def nms_graph(limits: NmsLimits, given: Given) -> onnx.ModelProto:
    """Write the graph.

    Inputs: ``boxes`` [batch, boxes, 4] (x1, y1, x2, y2 in pixels of the network's input),
    ``scores`` [batch, boxes, classes], ``factors`` [batch, boxes, 1] where there are any,
    ``mapping`` [batch, 4]: what x and what y are multiplied with to get pixels of the picture, and
    the picture's width and height.

    Outputs: ``dets`` [batch, keep, 5], best first (box in pixels of the picture and inside it,
    score), and ``labels`` int32 [batch, keep]; a filling row has score 0 and label -1. ``nms``
    int32 [batch, 3]: how many pairs passed the score threshold, how many of the candidates NMS
    kept, and how many candidates still changed in the last round.
    """
    batch, boxes, classes = given.batch, given.boxes, given.classes
    best = min(limits.candidates, boxes)
    pairs = min(limits.candidates, best * classes)
    text = _GRAPH.substitute(
        opset=OPSET,
        ir_version=IR_VERSION,
        batch=batch,
        boxes=boxes,
        classes=classes,
        best=best,
        pairs=pairs,
        keep=min(limits.keep, pairs),
        first_boxes=_listed(boxes * picture for picture in range(batch)),
        first_pairs=_listed(pairs * picture for picture in range(batch)),
        ranks=_listed(float(rank) for rank in range(pairs)),
        score_threshold=repr(limits.score_threshold),
        iou_threshold=repr(limits.iou_threshold),
        min_size=repr(limits.min_size or 0.0),
        passes="GreaterOrEqual" if limits.inclusive else "Greater",
        border=repr(given.border or 0.0),
        inside=_AS_PLACED if given.border is None else _INSIDE,
        sized=_UNSIZED if limits.min_size is None else _SIZED,
        factors=f", float[{batch}, {boxes}, 1] factors" if given.has_factors else "",
        product="Mul (scores, factors)" if given.has_factors else "Identity (scores)",
        voted=_VOTES if limits.votes else "voted = Identity (chosen_boxes)",
        chosen=_ONE_CLASS if classes == 1 else _CLASSES,
        rounds="\n".join(_ROUND.substitute(before=n, after=n + 1) for n in range(limits.rounds)),
        last=limits.rounds,
        before_last=limits.rounds - 1,
    )
    model = parser.parse_model(text)
    onnx.checker.check_model(model)
    return model


def _listed(values: Iterable[float]) -> str:
    return ", ".join(map(repr, values))


# No constant is beyond half precision, where -65504 is the lowest: TensorRT 8 drops FP32 of one
# that it fuses with the layer that reshapes it (TensorRT#2838, #3224): it would become infinite.
_GRAPH = Template(
    """<ir_version: $ir_version, opset_import: ["" : $opset]>
nms (
  float[$batch, $boxes, 4] boxes, float[$batch, $boxes, $classes] scores$factors,
  float[$batch, 4] mapping
)
=> (float[$batch, $keep, 5] dets, int32[$batch, $keep] labels, int32[$batch, 3] nms)
<
  float[1] score_threshold = {$score_threshold}, float[1] iou_threshold = {$iou_threshold},
  float[1] min_size = {$min_size}, float[1] zero = {0.0}, float[1] one = {1.0},
  float[1] no_score = {-1.0}, int32[1] no_label = {-1}, float[1] lowest = {-65504.0},
  float[1] border = {$border}, float[1] least_vote = {0.01}, float[1] spread = {0.025},
  float[1] tiny = {5.960464477539063e-08},
  int64[1] axis_1 = {1}, int64[1] axis_2 = {2}, int64[2] axes_1_2 = {1, 2},
  int64[4] ratio_columns = {0, 1, 0, 1}, int64[4] limit_columns = {2, 3, 2, 3},
  int64[1] class_count = {$classes}, int64[1] best_count = {$best}, int64[1] pair_count = {$pairs},
  int64[1] keep_count = {$keep}, int64[2] as_list = {$batch, -1}, int64[2] as_boxes = {-1, 4},
  int64[2] as_rows = {-1, $classes}, int64[3] as_row = {$batch, 1, $pairs},
  int64[$batch, 1] first_box = {$first_boxes}, int64[$batch, 1] first_pair = {$first_pairs},
  float[$pairs, 1] rank = {$ranks}, float[1, $pairs] other_rank = {$ranks}
>
{
  ratio_row = Gather <axis = 1> (mapping, ratio_columns)
  ratio = Unsqueeze (ratio_row, axis_1)
  limit_row = Gather <axis = 1> (mapping, limit_columns)
  limits = Unsqueeze (limit_row, axis_1)
  placed_anywhere = Mul (boxes, ratio)
  $inside
  score_passes = $passes (scores, score_threshold)
  $sized
  passing = Cast <to = 1> (passes)
  passing_count = ReduceSum <keepdims = 0> (passing, axes_1_2)
  product = $product
  passing_scores = Where (passes, product, no_score)
  box_scores = ReduceMax <axes = [2]> (passing_scores)
  box_passes = GreaterOrEqual (box_scores, zero)
  passing_boxes = Where (box_passes, placed, lowest)
  largest = ReduceMax <axes = [1, 2]> (passing_boxes)
  box_list = Reshape (box_scores, as_list)
  $chosen
  all_boxes = Reshape (placed, as_boxes)
  box_rows = Add (box_index, first_box)
  chosen_boxes = Gather <axis = 0> (all_boxes, box_rows)
  label_list = Cast <to = 1> (label_index)
  label = Unsqueeze (label_list, axis_2)
  step = Add (largest, one)
  shift = Mul (label, step)
  shifted = Add (chosen_boxes, shift)
  x1, y1, x2, y2 = Split <axis = 2> (shifted)
  other_x1 = Reshape (x1, as_row)
  other_y1 = Reshape (y1, as_row)
  other_x2 = Reshape (x2, as_row)
  other_y2 = Reshape (y2, as_row)
  width = Sub (x2, x1)
  height = Sub (y2, y1)
  area = Mul (width, height)
  other_area = Reshape (area, as_row)
  inner_x1 = Max (x1, other_x1)
  inner_y1 = Max (y1, other_y1)
  inner_x2 = Min (x2, other_x2)
  inner_y2 = Min (y2, other_y2)
  inner_width_signed = Sub (inner_x2, inner_x1)
  inner_height_signed = Sub (inner_y2, inner_y1)
  inner_width = Relu (inner_width_signed)
  inner_height = Relu (inner_height_signed)
  intersection = Mul (inner_width, inner_height)
  both_areas = Add (area, other_area)
  union = Sub (both_areas, intersection)
  union_not_zero = Max (union, tiny)
  iou = Div (intersection, union_not_zero)
  overlaps = Greater (iou, iou_threshold)
  is_before = Less (rank, other_rank)
  suppresses_if_kept = And (overlaps, is_before)
  suppresses = Cast <to = 1> (suppresses_if_kept)
  chosen_passes = GreaterOrEqual (chosen_scores, zero)
  valid_list = Cast <to = 1> (chosen_passes)
  valid = Unsqueeze (valid_list, axis_1)
  kept_0 = Identity (valid)
$rounds
  change = Sub (kept_$last, kept_$before_last)
  changed = Abs (change)
  unsettled_count = ReduceSum <keepdims = 0> (changed, axes_1_2)
  kept_count = ReduceSum <keepdims = 0> (kept_$last, axes_1_2)
  kept_list = Reshape (kept_$last, as_list)
  kept_scores = Mul (chosen_scores, kept_list)
  det_scores, det_index = TopK <axis = 1> (kept_scores, keep_count)
  det_rows = Add (det_index, first_pair)
  $voted
  all_chosen = Reshape (voted, as_boxes)
  det_boxes = Gather <axis = 0> (all_chosen, det_rows)
  det_boxes_right = Max (det_boxes, zero)
  clipped = Min (det_boxes_right, limits)
  left, top, right, bottom = Split <axis = 2> (clipped)
  is_wide = Greater (right, left)
  is_high = Greater (bottom, top)
  covers = And (is_wide, is_high)
  det_score = Unsqueeze (det_scores, axis_2)
  is_kept = Greater (det_score, zero)
  is_detection = And (covers, is_kept)
  final_score = Where (is_detection, det_score, zero)
  all_rows = Concat <axis = 2> (clipped, final_score)
  is_row = Cast <to = 1> (is_detection)
  dets = Mul (all_rows, is_row)
  det_label_list = GatherElements <axis = 1> (label_index, det_index)
  det_labels = Cast <to = 6> (det_label_list)
  is_detection_list = Reshape (is_detection, as_list)
  labels = Where (is_detection_list, det_labels, no_label)
  passing_column = Unsqueeze (passing_count, axis_1)
  kept_column = Unsqueeze (kept_count, axis_1)
  unsettled_column = Unsqueeze (unsettled_count, axis_1)
  counts = Concat <axis = 1> (passing_column, kept_column, unsettled_column)
  nms = Cast <to = 6> (counts)
}"""
)

_AS_PLACED = "placed = Identity (placed_anywhere)"
_INSIDE = """
  inset = Mul (ratio, border)
  borders = Sub (limits, inset)
  placed_right = Max (placed_anywhere, zero)
  placed = Min (placed_right, borders)"""

_UNSIZED = "passes = Identity (score_passes)"
_SIZED = """
  box_x1, box_y1, box_x2, box_y2 = Split <axis = 2> (placed)
  box_width = Sub (box_x2, box_x1)
  box_height = Sub (box_y2, box_y1)
  box_is_wide = Greater (box_width, min_size)
  box_is_high = Greater (box_height, min_size)
  box_is_sized = And (box_is_wide, box_is_high)
  passes = And (score_passes, box_is_sized)"""

_ONE_CLASS = """
  chosen_scores, box_index = TopK <axis = 1> (box_list, pair_count)
  label_index = Sub (box_index, box_index)"""

# Every pair among the best is of a box among the best, so most boxes leave before there are pairs.
# The boxes return to their own order in between: that order decides between equal scores. The
# smallest are the largest with the other sign: TensorRT 8.4 takes the largest, whatever is asked.
_CLASSES = """
  best_score_list, best_by_score = TopK <axis = 1> (box_list, best_count)
  best_numbers = Cast <to = 1> (best_by_score)
  best_negated = Neg (best_numbers)
  best_negated_in_order, best_order = TopK <axis = 1> (best_negated, best_count)
  best_in_order = Neg (best_negated_in_order)
  best_boxes = Cast <to = 7> (best_in_order)
  best_rows = Add (best_boxes, first_box)
  all_scores = Reshape (passing_scores, as_rows)
  best_scores = Gather <axis = 0> (all_scores, best_rows)
  pair_list = Reshape (best_scores, as_list)
  chosen_scores, pair_index = TopK <axis = 1> (pair_list, pair_count)
  slot = Div (pair_index, class_count)
  first_of_slot = Mul (slot, class_count)
  label_index = Sub (pair_index, first_of_slot)
  box_index = GatherElements <axis = 1> (best_boxes, slot)"""

# Boxes of other classes are too far away to overlap.
_VOTES = """
  apart = Sub (one, iou)
  apart_squared = Mul (apart, apart)
  how_far = Div (apart_squared, spread)
  nearness = Neg (how_far)
  closeness = Exp (nearness)
  voter_scores = Unsqueeze (chosen_scores, axis_1)
  vote = Mul (closeness, voter_scores)
  overlaps_enough = Greater (iou, least_vote)
  is_voter = Greater (valid, zero)
  is_vote = And (overlaps_enough, is_voter)
  votes = Where (is_vote, vote, zero)
  vote_sum = ReduceSum (votes, axis_2)
  vote_sum_not_zero = Max (vote_sum, tiny)
  weighted = MatMul (votes, chosen_boxes)
  voted = Div (weighted, vote_sum_not_zero)"""

_ROUND = Template(
    """  suppressed_$before = MatMul (kept_$before, suppresses)
  left_$before = Sub (valid, suppressed_$before)
  kept_$after = Relu (left_$before)"""
)
