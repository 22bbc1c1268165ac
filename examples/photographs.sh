#!/bin/sh
# Who is on a new photograph? photos/NAME/* are of one person each, new/* of
# anybody; from a clone, after `pip install '.[app,store]'`.
set -e
python train.py --dataset=folder:photos --image_size=32 --workdir=runs/photos
python encode.py --workdir=runs/photos --output=people.parquet
python identify.py --workdir=runs/photos --store=people.parquet --images=new
