#!/bin/sh
# Series with gaps by patient, and their embeddings for R: series.npz holds
# `observations` [N, steps, channels], NaN where there is a gap, and
# `group_ids` [N]. In R: contents <- read.csv("contents.csv").
set -e
python train.py --dataset=npz:series.npz --missing_values --workdir=runs/series
python encode.py --workdir=runs/series --output=contents.csv
python encode.py --workdir=runs/series --per_observation --output=series.csv
