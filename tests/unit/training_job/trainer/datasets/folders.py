"""Folders of data as people drop them, and what their receipts say.

`says` are phrases of the notes; of a folder that is refused, of its reason. Each is written out as data, so that a
reader sees what a user sees.
"""

import gzip
import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

Content = str | bytes


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder's files, phrases that the receipt says, and whether it is refused.

    `shape` is the shape of the training examples, and `classes` are their names, where they matter.
    """

    files: Mapping[str, Content]
    says: tuple[str, ...]
    refused: bool = False
    shape: tuple[int, ...] | None = None
    classes: tuple[str, ...] | None = None
    options: Mapping[str, str] | None = None


def rows(header: str, line: Callable[[int], str], count: int = 40) -> str:
    """Return a table as text."""
    return "\n".join([header, *(line(i) for i in range(count))]) + "\n"


def npz(**arrays: Any) -> bytes:  # noqa: ANN401 - arrays
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def picture(mode: str = "L", size: tuple[int, int] = (20, 18), value: Any = 100, kind: str = "PNG") -> bytes:  # noqa: ANN401 - a colour
    stream = io.BytesIO()
    Image.new(mode, size, value).save(stream, kind)
    return stream.getvalue()


def idx(array: Any) -> bytes:  # noqa: ANN401 - an array
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + bytes(array.tobytes())


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    stream.close = lambda: None  # type: ignore[method-assign] # fastparquet closes what it writes to
    frame.to_parquet(stream, engine="fastparquet")
    return stream.getvalue()


def kinds(i: int) -> str:
    return f"{i * 37 % 23},{('red', 'green', 'blue')[i % 3]},{'yes' if i % 4 else 'no'},{'cat' if i % 2 else 'dog'}"


X: Any = np.arange(120, dtype=np.float32).reshape(40, 3) % 17
Y: Any = np.arange(40) % 2
IMAGES: Any = (np.arange(40 * 20).reshape(40, 4, 5) % 251).astype(np.uint8)
TABLE = "size,colour,old,kind"

UNDERSTOOD: Mapping[str, Folder] = {
    "a table with names": Folder(
        files={"pets.csv": rows(TABLE, kinds)},
        says=(
            "Column 'kind' is the label (the last column; --label names another one).",
            "It is a classification, as the labels are texts: 2 classes (cat, dog).",
            "The network gets 3 columns: 1 of numbers (size), 1 of booleans (old), 1 of categories (colour).",
        ),
        shape=(40, 5),
        classes=("cat", "dog"),
    ),
    "a label by its name": Folder(
        files={"a.csv": rows("Target,a,b", lambda i: f"{i % 3},{i * 7 % 11},{i * 5 % 13}")},
        says=("Column 'Target' is the label (by its name", "(AutoGluon's limit is 10%): 3 classes (0, 1, 2)"),
        shape=(40, 2),
    ),
    "a label by --label": Folder(
        files={"a.csv": rows("a,kind,b", lambda i: f"{i * 7 % 11},{'pq'[i % 2]},{i * 5 % 13}")},
        options={"label": "kind"},
        says=("Column 'kind' is the label (by --label).",),
        classes=("p", "q"),
    ),
    "real numbers": Folder(
        files={"a.csv": rows("a,price", lambda i: f"{i * 7 % 11},{i * 1.37 + 0.5}")},
        says=("It is a regression, as the labels are numbers with fractions; they range from 0.5 to 53.93.",),
        classes=(),
    ),
    "many integers": Folder(
        files={"a.csv": rows("a,price", lambda i: f"{i * 7 % 11},{i * 137 % 97 + 100}")},
        says=("It is a regression, as the labels are 40 different whole numbers in 40 examples (AutoGluon's limit is",),
        classes=(),
    ),
    "integers by --task": Folder(
        files={"a.csv": rows("a,price", lambda i: f"{i * 7 % 11},{i % 5 * 100}")},
        options={"task": "regression"},
        says=("It is a regression, as the labels are to be so by --task",),
        classes=(),
    ),
    "labels from 1": Folder(
        files={"a.csv": rows("a,b,stars", lambda i: f"{i * 7 % 11},{i * 5 % 13},{i % 4 + 1}")},
        says=("4 classes (1, 2, 3, 4)",),
        classes=("1", "2", "3", "4"),
    ),
    "classes that skip numbers": Folder(
        files={"a.csv": rows("a,b,digit", lambda i: f"{i * 7 % 11},{i * 5 % 13},{(3, 8, 9)[i % 3]}")},
        says=("3 classes (3, 8, 9)",),
        classes=("3", "8", "9"),
    ),
    "true and false": Folder(
        files={"a.csv": rows("a,b,paid", lambda i: f"{i * 7 % 11},{i * 5 % 13},{i % 2 == 0}")},
        says=("as the labels are true or false: 2 classes (False, True)",),
    ),
    "semicolons and decimal commas": Folder(
        files={
            "haus.csv": rows(
                "fläche;preis;lage", lambda i: f"{i * 7 % 11},5;1.{i + 100},25;{'gut' if i % 3 else 'mies'}"
            )
        },
        says=("haus.csv is separated by semicolons and has decimal commas.", "2 of numbers (fläche, preis)"),
        shape=(40, 2),
        classes=("gut", "mies"),
    ),
    "decimal commas in quotes": Folder(
        files={"a.csv": rows("a,b,kind", lambda i: f'"{i * 7 % 11},5","{i},25",{"pq"[i % 2]}')},
        says=("a.csv has decimal commas.", "2 of numbers (a, b)"),
    ),
    "commas between thousands": Folder(
        files={"a.csv": rows("a,b,kind", lambda i: f'"{i + 1},{i + 100}",{i * 5 % 13},{"pq"[i % 2]}')},
        says=("2 of numbers (a, b)",),
    ),
    "tabs": Folder(
        files={"a.tsv": rows("a\tb\tkind", lambda i: f"{i * 7 % 11}\t{i * 5 % 13}\t{'p q' if i % 2 else 'r'}")},
        says=("a.tsv is separated by tabs.",),
        classes=("p q", "r"),
    ),
    "western European letters": Folder(
        files={
            "a.csv": rows(
                "größe,ort,güte", lambda i: f"{i * 7 % 11},{'Köln' if i % 3 else 'Bern'},{('schön', 'übel')[i % 2]}"
            ).encode("cp1252")
        },
        says=("a.csv is read as Windows-1252.", "2 classes (schön, übel)"),
    ),
    "UTF-16, as spreadsheets export it": Folder(
        files={
            "a.txt": rows("a\tb\tkind", lambda i: f"{i * 7 % 11}\t{i * 5 % 13}\t{'ä' if i % 2 else 'ö'}").encode(
                "utf-16"
            )
        },
        says=("a.txt is read as UTF-16 and is separated by tabs.", "2 classes (ä, ö)"),
    ),
    "no header": Folder(
        files={
            "iris.data": rows(
                "5.1,3.5,setosa", lambda i: f"{4 + i % 7 / 2},{i * 5 % 13}.5,{('setosa', 'virginica')[i % 2]}"
            )
        },
        says=(
            "iris.data has no header: its columns are called 'column 1', 'column 2' and so on.",
            "Column 'column 3' is the label",
        ),
        shape=(41, 2),
    ),
    "row names": Folder(
        files={"cars.csv": rows("mpg,cyl,kind", lambda i: f"Car {i},{i * 7 % 11},{i * 5 % 13},{'pq'[i % 2]}")},
        says=("2 of numbers (mpg, cyl)",),
        shape=(40, 2),
    ),
    "missing values": Folder(
        files={
            "a.csv": rows(
                "a,b,c,kind",
                lambda i: ",".join(
                    [
                        "" if i % 5 == 0 else str(i * 7 % 11),
                        "NA" if i % 7 == 0 else "xyz"[i % 3],
                        "?" if i % 6 == 0 else str(i * 5 % 13),
                        "pq"[i % 2],
                    ]
                ),
            )
        },
        says=("Missing values of a, c are replaced by the median, and flagged.",),
        shape=(40, 8),
    ),
    "rows without a label": Folder(
        files={"a.csv": rows("a,b,stars", lambda i: f"{i * 7 % 11},{i * 5 % 13},{'' if i % 10 == 0 else i % 3}")},
        says=("4 rows without a label are left out.", "3 classes (0, 1, 2)"),
        shape=(36, 2),
    ),
    "dates": Folder(
        files={
            "a.csv": rows(
                "when,day,a,kind",
                lambda i: ",".join(
                    [
                        f"2021-{i % 12 + 1:02}-{i % 28 + 1:02} {i % 24:02}:15",
                        f"{i % 28 + 1}.{i % 12 + 1}.2020",
                        str(i * 5 % 13),
                        "pq"[i % 2],
                    ]
                ),
            )
        },
        says=("2 of dates (when, day)", "Column 'day' holds dates, read as %d.%m.%Y."),
        shape=(40, 8),
    ),
    "prose, identifiers and constants": Folder(
        files={
            "a.csv": rows(
                "id,code,remark,unit,a,kind",
                lambda i: f"{i + 500},X{i}-{i * i},this is number {i} of many remarks,mm,{i * 5 % 13},{'pq'[i % 2]}",
            )
        },
        says=(
            "Column 'id' is left out: it numbers the rows.",
            "Column 'code' is left out: it has a different text in nearly every row, such as 'X0-0'.",
            "Column 'remark' is left out: it holds texts of many words, such as 'this is number 0 of many remarks'.",
            "Column 'unit' is left out: it has the same value in each row ('mm').",
        ),
        shape=(40, 1),
    ),
    "a copy of the label": Folder(
        files={"a.csv": rows("a,again,kind", lambda i: f"{i * 5 % 13},{'pq'[i % 2]},{'pq'[i % 2]}")},
        says=("Warning: column 'again' is a copy of the label 'kind': remove it, unless it is known whenever",),
    ),
    "the label under other names": Folder(
        files={"a.csv": rows("a,number,kind", lambda i: f"{i * 5 % 13},{i % 3 + 7},{'pqr'[i % 3]}")},
        says=("Warning: column 'number' has one value for each class of 'kind'",),
    ),
    "one class with a single example": Folder(
        files={"a.csv": rows("a,b,kind", lambda i: f"{i * 7 % 11},{i * 5 % 13},{'Pq' if i == 7 else 'pq'[i % 2]}")},
        says=(
            "Left out, as one example cannot be both learned and checked: class Pq. Add examples of it, or correct its",
        ),
        shape=(39, 2),
        classes=("p", "q"),
    ),
    "train, valid and test": Folder(
        files={
            "train.csv": rows(TABLE, kinds),
            "valid.csv": rows(TABLE, kinds, 10),
            "test.csv": rows(TABLE, kinds, 12),
            "sample_submission.csv": "id,kind\n1,cat\n",
        },
        says=(
            "Beside train, val and test, sample_submission.csv is not used.",
            "valid.csv is the validation data: 10 examples.",
            "test.csv is the test data: 12 examples.",
        ),
        shape=(40, 5),
    ),
    "a test file without labels": Folder(
        files={"train.csv": rows(TABLE, kinds), "test.csv": "size,colour,old\n3,red,yes\n4,pink,\n"},
        says=("test.csv has no labels in a column 'kind': what the model predicts for it is in predictions.csv.",),
    ),
    "a label that the test file lacks": Folder(
        files={
            "train.csv": rows("id,survived,age,deck", lambda i: f"{i + 1},{i % 2},{i * 7 % 31},{'ABC'[i % 3]}"),
            "test.csv": "id,age,deck\n41,30,A\n42,,Z\n",
        },
        says=("Column 'survived' is the label (the only one that test.csv lacks; --label names another one).",),
        shape=(40, 4),
    ),
    "comments, and a line for a spreadsheet": Folder(
        files={
            "a.csv": "# measured in 2020\nsep=;\n"
            + rows("a;b;kind", lambda i: f"{i * 7 % 11};{i * 5 % 13};{'pq'[i % 2]}")
        },
        says=("a.csv is separated by semicolons.", "2 of numbers (a, b)"),
    ),
    "a delimiter at the end of each line": Folder(
        files={"a.csv": rows("a,b,kind", lambda i: f"{i * 7 % 11},{i * 5 % 13},{'pq'[i % 2]},")},
        says=("Column 'kind' is the label", "2 of numbers (a, b)"),
    ),
    "per cent and currencies": Folder(
        files={"a.csv": rows("a,price", lambda i: f'{i * 7 % 11}%,"${i + 1},{i + 100}.50"')},
        says=("1 of numbers (a)", "as the labels are numbers with fractions; they range from 1100.5 to 40139.5."),
        classes=(),
    ),
    "one table in several files": Folder(
        files={"2020.csv": rows(TABLE, kinds, 20), "2021.csv": rows(TABLE, kinds, 30)},
        says=("2 files are one table.",),
        shape=(50, 5),
    ),
    "a gzipped table": Folder(
        files={"a.csv.gz": gzip.compress(rows(TABLE, kinds).encode())}, says=("2 classes (cat, dog)",), shape=(40, 5)
    ),
    "Parquet": Folder(
        files={"a.parquet": parquet(pd.DataFrame({"a": X[:, 0], "kind": ["pq"[i % 2] for i in range(40)]}))},
        says=("Column 'kind' is the label", "1 of numbers (a)"),
        classes=("p", "q"),
    ),
    "large numbers that differ little": Folder(
        files={"a.csv": rows("a,b,kind", lambda i: f"{10**12 + i % 4},{i * 5 % 13},{'pq'[i % 2]}")},
        says=("2 of numbers (a, b)",),
    ),
    "IDX": Folder(
        files={"train-images-idx3-ubyte": idx(IMAGES), "train-labels-idx1-ubyte": idx(Y.astype(np.uint8))},
        says=("It is a classification",),
        shape=(40, 4, 5),
    ),
    "arrays": Folder(files={"a.npz": npz(x=X, y=Y)}, says=("as the labels are 2 different numbers",), shape=(40, 3)),
    "arrays with x_val and x_test": Folder(
        files={"a.npz": npz(x_train=X, y_train=Y, x_val=X[:9], y_val=Y[:9], x_test=X[:8], y_test=Y[:8])},
        says=(
            "'x_val' of a.npz is the validation data: 9 examples.",
            "'x_test' of a.npz is the test data: 8 examples.",
        ),
    ),
    "gaps in arrays": Folder(
        files={"a.npz": npz(x_train=np.where(X == 10, np.nan, X), y_train=Y, x_test=X[:8], y_test=Y[:8])},
        says=("Missing values (nan) of 'x_train' of a.npz are replaced by the median of their column, and flagged.",),
        shape=(40, 6),
    ),
    "MNIST as a table": Folder(
        files={"a.csv": rows(",".join(["label", *map(str, range(784))]), lambda i: f"{i % 2}" + f",{i * 5}" * 784, 20)},
        says=("The 784 columns of whole numbers from 0 to 255 are taken for pictures of 28 x 28 pixels.",),
        shape=(20, 784),
    ),
    "one-hot labels": Folder(
        files={"a.npz": npz(x=X, y=np.eye(4)[np.arange(40) % 4])},
        says=("'y' of a.npz is one-hot: its 4 columns are the classes 0 to 3.",),
        classes=("0", "1", "2", "3"),
    ),
    "examples last": Folder(
        files={"a.npz": npz(data=X.T, target=Y)},
        says=("'data' of a.npz has the examples last: it is turned.",),
        shape=(40, 3),
    ),
    "labels that are texts": Folder(
        files={"a.npz": npz(images=IMAGES, labels=np.array(["pq"[i] for i in Y]))},
        says=("2 classes (p, q)",),
        shape=(40, 4, 5),
    ),
    "quantities in arrays": Folder(
        files={"a.npz": npz(x=X, y=X.sum(axis=1) / 7)},
        says=("It is a regression, as the labels are numbers with",),
        classes=(),
    ),
    "pictures of two sizes and modes": Folder(
        files={
            "cat/1.png": picture(),
            "cat/2.png": picture("RGBA", value=(9, 9, 9, 0)),
            "cat/3.jpg": picture("RGB", (40, 30), "red", "JPEG"),
            "dog/1.gif": picture("P", kind="GIF"),
            "dog/2.tif": picture("I;16", value=3000, kind="TIFF"),
            "dog/3.png": picture("1", value=1),
        },
        says=(
            "It is a classification: the 2 folders of pictures are the classes (cat, dog).",
            "The pictures have 2 sizes, from 20 x 18 to 40 x 30 pixels: all are resized to 20 x 18.",
            "all are made coloured.",
        ),
        shape=(6, 3, 18, 20),
    ),
    "large pictures": Folder(
        files={f"{name}/{i}.png": picture(size=(400, 200), value=i) for name in ("cat", "dog") for i in range(2)},
        says=("The pictures of 400 x 200 pixels are resized to 128 x 64.",),
        shape=(4, 64, 128),
    ),
    "pictures in train, val and test": Folder(
        files={
            f"{part}/{name}/{i}.png": picture(value=i)
            for part in ("train", "val", "test")
            for name in ("cat", "dog")
            for i in range(3)
        },
        says=("val is the validation data: 6 pictures.", "test is the test data: 6 pictures."),
        shape=(6, 18, 20),
    ),
    "pictures and a list of labels": Folder(
        files={f"pictures/{i}.png": picture(value=i) for i in range(30)}
        | {"labels.csv": rows("file,kind", lambda i: f"{i}.png,{'pq'[i % 2]}", 30)},
        says=("labels.csv lists pictures in column 'file', with their labels in column 'kind'.", "2 classes (p, q)"),
        shape=(30, 18, 20),
    ),
    "pictures of quantities": Folder(
        files={f"{i}.png": picture(value=i) for i in range(30)}
        | {"ages.csv": rows("id,age", lambda i: f"{i},{i * 1.5}", 30)},
        says=("ages.csv lists pictures in column 'id'", "It is a regression"),
        classes=(),
    ),
}
