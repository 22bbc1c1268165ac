#!/bin/sh
# Serve the model of photographs.sh. TensorFlow Serving itself is started with
#   docker run --rm -p 8501:8501 -e MODEL_NAME=photos \
#       -v "$PWD/runs/photos/export:/models/photos" tensorflow/serving
# and asked, for one, by
#   curl localhost:8501/v1/models/photos/metadata
# Here a process that has TensorFlow alone, and no package of ours, answers.
set -e
saved_model_cli show --dir=runs/photos/export/1 --all
python examples/who.py --export=runs/photos/export/1 --output=ann.parquet \
    --add=ann photos/ann/*
python examples/who.py --export=runs/photos/export/1 --people=ann.parquet \
    --output=both.parquet --add=bob photos/bob/*
python examples/who.py --export=runs/photos/export/1 --people=both.parquet \
    new/*
