"""Wrong folders of data, and the reasons on their receipts: what was found, where, and what to change."""

import gzip
from collections.abc import Mapping

import numpy as np

from tests.unit.training_job.trainer.datasets.folders import IMAGES, TABLE, Folder, X, Y, idx, kinds, npz, picture, rows

TRAIN_X, TRAIN_Y = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def _refused(says: str, **files: str | bytes) -> Folder:
    return Folder(files=files, says=(says,), refused=True)


REFUSED: Mapping[str, Folder] = {
    "nothing": _refused("the data holds nothing: a table (.csv, .tsv or .parquet, with a column of labels)"),
    "a spreadsheet": _refused("the data holds a.xlsx: save the sheet as CSV", **{"a.xlsx": b"PK"}),
    "a pickle": _refused(
        "the data holds a.pkl: pickles are never loaded: save arrays with numpy.savez", **{"a.pkl": b"\x80"}
    ),
    "pictures without labels": _refused(
        "put the pictures into a folder for each class, or beside a CSV of file names and labels",
        **{"a.png": picture()},
    ),
    "an empty table": _refused("a.csv is empty: write a line of column names", **{"a.csv": " \n"}),
    "a header alone": _refused("a.csv has a header and no rows: add a line for each example", **{"a.csv": "p,label\n"}),
    "one column": _refused(
        "a.csv has one column (label): columns of values and one of labels are", **{"a.csv": "label\n1\n2\n"}
    ),
    "a short line": _refused(
        "line 4 of a.csv has 3 values; its header names 4: complete the line",
        **{"a.csv": f"{TABLE}\n1,red,yes,cat\n2,red,no,dog\n3,red,yes\n"},
    ),
    "a long line": _refused(
        "line 3 of a.csv has 5 values; its header names 4: complete the line, or put quotes around",
        **{"a.csv": f"{TABLE}\n1,red,yes,cat\n2,light, red,no,dog\n3,red,yes,cat\n"},
    ),
    "a word among numbers": _refused(
        "line 9 of a.csv has '1O' in column 'a', where all but 1 of the 40 values are numbers: correct the cell",
        **{"a.csv": rows("a,kind", lambda i: f"{'1O' if i == 7 else i * 7 % 11},{'pq'[i % 2]}")},
    ),
    "an infinite value": _refused(
        "line 5 of a.csv has an infinite number in column 'a': correct the cell, or leave it empty",
        **{"a.csv": rows("a,kind", lambda i: f"{'inf' if i == 3 else i * 7 % 11},{'pq'[i % 2]}")},
    ),
    "an infinite label": _refused(
        "line 5 of a.csv has the label inf in column 'price': a finite number is expected; correct it",
        **{"a.csv": rows("a,price", lambda i: f"{i * 7 % 11},{'inf' if i == 3 else i * 1.5}")},
    ),
    "an infinite value after a blank line and a quoted one": _refused(
        "line 7 of a.csv has an infinite number in column 'a'",
        **{"a.csv": 'a,b,kind\n1,2,p\n\n2,"x\ny",q\n3,3,p\ninf,1,q\n4,1,p\n'},
    ),
    "a word among quantities": _refused(
        "line 9 of a.csv has the label 'about 5' in column 'price', where all but 1 of the 40 labels are numbers:",
        **{"a.csv": rows("a,price", lambda i: f"{i * 7 % 11},{'about 5' if i == 7 else i * 1.5}")},
    ),
    "an infinite value below comments": _refused(
        "line 5 of a.csv has an infinite number in column 'a'",
        **{"a.csv": "# one\n# two\na,kind\n1,p\ninf,q\n2,p\n3,q\n"},
    ),
    "one class": _refused(
        "column 'kind' holds one class only (p), in all 40 examples: two at least are needed to train",
        **{"a.csv": rows("a,kind", lambda i: f"{i * 7 % 11},p")},
    ),
    "a label for each example": _refused(
        "column 'name' holds 40 different labels in 40 examples, such as 'n0': these are no classes; name the column",
        **{"a.csv": rows("a,name", lambda i: f"{i * 7 % 11},n{i}")},
    ),
    "no labels": _refused(
        "column 'kind' of a.csv is empty: fill in the labels, or name another one with --label",
        **{"a.csv": rows("a,b,kind", lambda i: f"{i * 7 % 11},{i * 3 % 11},")},
    ),
    "nothing to learn from": _refused(
        "a.csv has no column to learn from: 'id' numbers the rows; 'unit' has the same value in each row",
        **{"a.csv": rows("id,unit,kind", lambda i: f"{i},mm,{'pq'[i % 2]}")},
    ),
    "a label that is not there": Folder(
        files={"a.csv": rows(TABLE, kinds)},
        options={"label": "sort"},
        says=("--label sort: a.csv has no such column; it has size, colour, old, kind",),
        refused=True,
    ),
    "words as quantities": Folder(
        files={"a.csv": rows(TABLE, kinds)},
        options={"task": "regression"},
        says=("line 2 of a.csv has the label 'dog' in column 'kind': a regression takes numbers; correct it, or",),
        refused=True,
    ),
    "tables of two kinds": _refused(
        "b.csv has other columns than a.csv (it has also weight and lacks size): files that are not "
        "called train, val or test are one table; drop tables of different columns as experiments of their own",
        **{"a.csv": rows(TABLE, kinds), "b.csv": rows(TABLE.replace("size", "weight"), kinds)},
    ),
    "a test class that is new": _refused(
        "line 2 of test.csv has class 'cow' in column 'kind', which train.csv does not have (cat, dog): correct it",
        **{"train.csv": rows(TABLE, kinds), "test.csv": f"{TABLE}\n1,red,yes,cow\n"},
    ),
    "a test file that lacks a column": _refused(
        "test.csv lacks column colour, old, which the model was trained with: add it",
        **{"train.csv": rows(TABLE, kinds), "test.csv": "size,kind\n1,cat\n"},
    ),
    "validation without labels": _refused(
        "val.csv lacks the label, column 'kind': add it",
        **{"train.csv": rows(TABLE, kinds), "val.csv": "size,colour,old\n1,red,yes\n"},
    ),
    "no text": _refused("is no text", **{"a.csv": bytes(range(256)) * 8}),
    "no gzip": _refused(
        "a.csv.gz cannot be unpacked: it is no gzip file, or is truncated", **{"a.csv.gz": b"p,label\n"}
    ),
    "half a gzip": _refused(
        "a.csv.gz cannot be unpacked", **{"a.csv.gz": gzip.compress(rows(TABLE, kinds).encode())[:-9]}
    ),
    "no Parquet": _refused("a.parquet is no Parquet file, or is damaged", **{"a.parquet": b"PAR1 junk PAR1"}),
    "IDX without labels": _refused(
        f"{TRAIN_X} is there, but no train-labels file beside it: add that file", **{TRAIN_X: idx(IMAGES)}
    ),
    "half an IDX": _refused(
        f"{TRAIN_X} has 815 bytes; its header says (40, 4, 5), which is 816 bytes; upload it again",
        **{TRAIN_X: idx(IMAGES)[:-1], TRAIN_Y: idx(Y.astype(np.uint8))},
    ),
    "two archives": _refused(
        "the data holds 2 .npz files for train (a.npz, b.npz): keep one, or call them train.npz",
        **{"a.npz": b"", "b.npz": b""},
    ),
    "no archive": _refused(
        "a.npz is no .npz archive, or is truncated: write it with numpy.savez", **{"a.npz": b"junk"}
    ),
    "arrays of other names": _refused(
        "a.npz holds a: save arrays x and y, or x_train and y_train, with numpy.savez", **{"a.npz": npz(a=X)}
    ),
    "a gap in a picture": _refused(
        "'x' of a.npz holds nan in row 3 at (1, 2): finite numbers are expected; replace it, or leave the example out",
        **{"a.npz": npz(x=np.where(np.arange(360).reshape(40, 3, 3) == 32, np.nan, 1.5), y=Y)},
    ),
    "an infinite number in an array": _refused(
        "'x' of a.npz holds inf in row 3 at (1,): finite numbers are expected; replace it, or leave the example out",
        **{"a.npz": npz(x=np.where(np.arange(120).reshape(40, 3) == 10, np.inf, X), y=Y)},
    ),
    "too few labels": _refused(
        "'x' of a.npz has 40 examples and 'y' of a.npz has 39: save one label for each", **{"a.npz": npz(x=X, y=Y[:39])}
    ),
    "labels of two columns": _refused(
        "'y' of a.npz has shape (40, 2): one label for each example is expected, or a row",
        **{"a.npz": npz(x=X, y=X[:, :2])},
    ),
    "pickled arrays": _refused(
        "'x' of a.npz holds pickled Python objects, which are never loaded", **{"a.npz": npz(x=X.astype(object), y=Y)}
    ),
    "no picture": _refused(
        "cat/a.png cannot be read as a picture: cannot identify image file 'cat/a.png'; remove it, or save it again",
        **{"cat/a.png": b"junk", "dog/a.png": picture()},
    ),
    "half a picture": _refused(
        "dog/a.png cannot be read as a picture",
        **{"cat/a.png": picture(), "dog/a.png": picture("RGB", (90, 90), "red")[:60]},
    ),
    "a folder without pictures": _refused(
        "folder cat holds no picture: add some, or remove the folder", **{"cat/a.txt": b"", "dog/a.png": picture()}
    ),
    "one folder of pictures": _refused(
        "the data holds one class only (cat): two folders of pictures at least", **{"pets/cat/a.png": picture()}
    ),
    "a test folder that is new": _refused(
        "test has class cow, which the training data does not have (cat, dog): rename the folder, or add",
        **{name: picture() for name in ("train/cat/1.png", "train/dog/1.png", "test/cow/1.png")},
    ),
    "a listed picture that is missing": _refused(
        "line 3 of labels.csv names the picture 'b.png' in column 'file', and there is no such file: add it",
        **{"a.png": picture(), "c.png": picture(), "labels.csv": b"file,kind\na.png,p\nb.png,q\nc.png,q\n"},
    ),
}
