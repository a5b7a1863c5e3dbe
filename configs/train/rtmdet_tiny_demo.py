"""RTMDet-tiny from scratch on the drawn dataset, within two minutes on two CPU cores."""

_base_ = "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"

data_root = "dataset/"
metainfo = {"classes": ("ellipse", "rectangle")}
size = (96, 96)
max_epochs = 8
interval = 4
base_lr = 0.004
cosine_from = 3
pad = {"type": "Pad", "size": size, "pad_val": {"img": (114, 114, 114)}}

# The base starts from ImageNet weights; this one starts from random numbers and needs no network.
model = {"backbone": {"init_cfg": None}, "bbox_head": {"num_classes": 2}}

# Without mosaic and mixup: they show too few whole objects for a run this short.
train_pipeline = [
    {"type": "LoadImageFromFile", "file_client_args": {"backend": "disk"}},
    {"type": "LoadAnnotations", "with_bbox": True},
    {"type": "Resize", "scale": size, "keep_ratio": True},
    {"type": "RandomFlip", "prob": 0.5},
    pad,
    {"type": "PackDetInputs"},
]
test_pipeline = [
    {"type": "LoadImageFromFile", "file_client_args": {"backend": "disk"}},
    {"type": "Resize", "scale": size, "keep_ratio": True},
    pad,
    {
        "type": "PackDetInputs",
        "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    },
]

train_dataloader = {
    "batch_size": 16,
    "num_workers": 0,
    "persistent_workers": False,
    "pin_memory": False,
    "dataset": {
        "data_root": data_root,
        "metainfo": metainfo,
        "ann_file": "train.json",
        "data_prefix": {"img": "train/"},
        "pipeline": train_pipeline,
    },
}
val_dataloader = {
    "batch_size": 16,
    "num_workers": 0,
    "persistent_workers": False,
    "dataset": {
        "data_root": data_root,
        "metainfo": metainfo,
        "ann_file": "val.json",
        "data_prefix": {"img": "val/"},
        "pipeline": test_pipeline,
    },
}
test_dataloader = val_dataloader
val_evaluator = {"ann_file": data_root + "val.json"}
test_evaluator = val_evaluator

train_cfg = {"max_epochs": max_epochs, "val_interval": interval, "dynamic_intervals": None}
optim_wrapper = {"optimizer": {"lr": base_lr}}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 1.0e-2, "by_epoch": False, "begin": 0, "end": 20},
    {
        "type": "CosineAnnealingLR",
        "eta_min": base_lr * 0.05,
        "begin": cosine_from,
        "end": max_epochs,
        "T_max": max_epochs - cosine_from,
        "by_epoch": True,
        "convert_to_iter_based": True,
    },
]
default_hooks = {
    "checkpoint": {"interval": interval, "max_keep_ckpts": 2, "save_best": "coco/bbox_mAP"},
    "logger": {"interval": 5},
}
# The stock momentum, 0.0002, averages over thousands of iterations: more than the whole run has.
custom_hooks = [
    {
        "type": "EMAHook",
        "ema_type": "ExpMomentumEMA",
        "momentum": 0.03,
        "gamma": 20,
        "update_buffers": True,
        "priority": 49,
    },
]
