"""RTMDet-tiny, fine-tuned on the balloon dataset: one GPU, batch 12, 40 epochs.

Meant to start from the COCO weights that train.weights of pipeline.toml names:
https://download.openmmlab.com/mmdetection/v3.0/rtmdet/rtmdet_tiny_8xb32-300e_coco/rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth
"""

_base_ = "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"

data_root = "dataset/"
metainfo = {"classes": ("balloon",)}

batch_size = 12
max_epochs = 40
stage2_epochs = 5
interval = 10
# The base uses 0.004 for 8 GPUs with 32 pictures each; the rate goes with the batch.
base_lr = batch_size * 0.004 / 256

model = {"backbone": {"frozen_stages": 4}, "bbox_head": {"num_classes": 1}}

train_dataloader = {
    "batch_size": batch_size,
    "num_workers": 4,
    "dataset": {
        "data_root": data_root,
        "metainfo": metainfo,
        "ann_file": "train.json",
        "data_prefix": {"img": "train/"},
    },
}
val_dataloader = {
    "batch_size": batch_size,
    "num_workers": 4,
    "dataset": {
        "data_root": data_root,
        "metainfo": metainfo,
        "ann_file": "val.json",
        "data_prefix": {"img": "val/"},
    },
}
test_dataloader = val_dataloader
val_evaluator = {"ann_file": data_root + "val.json"}
test_evaluator = val_evaluator

# The base validates every epoch towards its end; here every tenth is enough until the end.
train_cfg = {"max_epochs": max_epochs, "val_interval": interval, "dynamic_intervals": None}

optim_wrapper = {"optimizer": {"lr": base_lr}}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 1.0e-5, "by_epoch": False, "begin": 0, "end": 30},
    {
        "type": "CosineAnnealingLR",
        "eta_min": base_lr * 0.05,
        "begin": max_epochs // 2,
        "end": max_epochs,
        "T_max": max_epochs // 2,
        "by_epoch": True,
        "convert_to_iter_based": True,
    },
]

default_hooks = {
    "checkpoint": {"interval": interval, "max_keep_ckpts": 2, "save_best": "coco/bbox_mAP"},
    "logger": {"interval": 5},
}
custom_hooks = [
    {
        "type": "EMAHook",
        "ema_type": "ExpMomentumEMA",
        "momentum": 0.0002,
        "update_buffers": True,
        "priority": 49,
    },
    {
        "type": "PipelineSwitchHook",
        "switch_epoch": max_epochs - stage2_epochs,
        "switch_pipeline": {{_base_.train_pipeline_stage2}},
    },
]
