#!/bin/sh
# A sweep: two dimensions of the content, two seeds each. The tab HParams of
# `tensorboard --logdir=runs/sweep` then compares them in one table.
set -e
for dim in 8 32; do
    for seed in 0 1; do
        python train.py "$@" --content_dim=$dim --seed=$seed \
            --workdir=runs/sweep/dim$dim-seed$seed
    done
done
