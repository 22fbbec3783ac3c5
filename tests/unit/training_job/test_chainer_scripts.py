"""Typical scripts that import Chainer, run through `launch`."""

from tests.unit.training_job.drops import Drop

TRAINER = """
    import chainer, numpy as np
    import chainer.links as L
    from chainer import training
    from chainer.training import extensions

    np.random.seed(0)
    x = np.random.rand(40, 4).astype(np.float32)
    y = (x[:, 0] > 0.5).astype(np.int32)
    data = chainer.datasets.TupleDataset(x, y)
    train = chainer.iterators.SerialIterator(data, 10)
    test = chainer.iterators.SerialIterator(data, 10, repeat=False, shuffle=False)
    model = L.Classifier(L.Linear(4, 2))
    optimizer = chainer.optimizers.SGD().setup(model)
    trainer = training.Trainer(training.StandardUpdater(train, optimizer), (2, "epoch"), out="outputs")
    trainer.extend(extensions.Evaluator(test, model))
    {log}
    trainer.run()
    chainer.serializers.save_npz("outputs/model.npz", model)
    """


def test_what_a_log_report_says_becomes_metrics(drop: Drop) -> None:
    drop.scripts = {
        "train.py": TRAINER.format(
            log="trainer.extend(extensions.LogReport()); trainer.extend(extensions.PrintReport(['epoch', 'main/loss']))"
        )
    }
    ended = drop.launch("python", "train.py")
    assert ended.code == 0, ended.errors
    assert sorted(ended.metrics) == [
        "accuracy",
        "elapsed_time",
        "epoch",
        "loss",
        "main/accuracy",
        "main/loss",
        "validation/main/accuracy",
        "validation/main/loss",
    ]
    assert ended.metrics["accuracy"] == ended.metrics["validation/main/accuracy"]
    assert ended.metrics["loss"] == ended.metrics["main/loss"]
    assert ended.metrics["epoch"] == 2
    assert ended.files == ["log", "model.npz", "package/MODEL_CARD.md", "package/weights/model.npz"]
    lines = (ended.folder / ".kedja/metrics.jsonl").read_text().splitlines()
    assert sum('"validation/main/accuracy", ' in line for line in lines) == 2


def test_an_evaluator_alone_becomes_metrics(drop: Drop) -> None:
    drop.scripts = {"train.py": TRAINER.format(log="")}
    ended = drop.launch("python", "train.py")
    assert sorted(ended.metrics) == ["accuracy", "validation/main/accuracy", "validation/main/loss"]


def test_old_numpy_names_work_in_the_script_and_its_modules_alone(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import chainer, numpy as np
            import helper, other
            print(np.int(3), np.float, helper.VALUE, other.HAS)
            """,
        "helper.py": "import numpy as np; VALUE = np.product([2, 3])",
        "site-packages/other.py": "import numpy as np; HAS = hasattr(np, 'int')",
    }
    ended = drop.launch("python", "train.py", PYTHONPATH=f"{drop.environment()['PYTHONPATH']}:site-packages")
    assert ended.output.strip() == "3 <class 'float'> 6 False", ended.errors


def test_a_worker_process_and_a_started_one_import_chainer(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import multiprocessing, subprocess, sys

            def version():
                import chainer
                print(chainer.__version__, flush=True)

            if __name__ == "__main__":
                for method in ("fork", "spawn"):
                    process = multiprocessing.get_context(method).Process(target=version)
                    process.start(); process.join(); assert process.exitcode == 0
                subprocess.run([sys.executable, "-c", "import chainer; print(chainer.__version__)"], check=True)
            """
    }
    ended = drop.launch("python", "-W", "ignore", "train.py")
    assert ended.output.split() == ["7.8.1"] * 3, ended.errors


def test_a_multiprocess_iterator_trains(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import chainer, numpy as np
            data = chainer.datasets.TupleDataset(np.arange(8, dtype=np.float32))
            iterator = chainer.iterators.MultiprocessIterator(data, 4, repeat=False, shuffle=False, n_processes=2)
            print(sum(float(x) for batch in iterator for x, in batch))
            iterator.finalize()
            """
    }
    ended = drop.launch("python", "-W", "ignore", "train.py")
    assert ended.output.strip() == "28.0", ended.errors


def test_a_script_without_chainer_gets_nothing(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import sys
            print(sorted(name for name in sys.modules if name.partition(".")[0] in ("numpy", "chainer", "mlflow")))
            import numpy as np
            print(hasattr(np, "float"))
            """
    }
    assert drop.launch("python", "train.py").output.split("\n")[:2] == ["[]", "False"]


def test_another_sitecustomize_still_runs(drop: Drop) -> None:
    drop.scripts = {"train.py": "import builtins; print(builtins.CUSTOM)"}
    (drop.root / "site").mkdir()
    (drop.root / "site/sitecustomize.py").write_text("import builtins; builtins.CUSTOM = 'customised'")
    path = f"{drop.root / 'site'}:{drop.environment()['PYTHONPATH']}"
    assert drop.launch("python", "train.py", PYTHONPATH=path).output.strip() == "customised"


def test_the_built_in_trainer_runs_as_a_job(drop: Drop) -> None:
    rows = "".join(f"{i % 7},{i % 2}\n" for i in range(40))
    drop.data = {"points.csv": f"a,label\n{rows}".encode()}
    ended = drop.launch("python", "-m", "training_job.train", "--data", str(drop.data_folder), "-e", "2", "-g", "-1")
    assert ended.code == 0, ended.errors
    assert {"metrics.json", "model.json", "model.npz"} <= set(ended.files)
    assert {"accuracy", "loss", "train_accuracy", "validation_loss"} <= set(ended.metrics)


def test_data_that_the_built_in_trainer_refuses(drop: Drop) -> None:
    drop.data = {"points.csv": b"a,label\n1,0\nx,1\n"}
    ended = drop.launch("python", "-m", "training_job.train")
    assert (ended.code, ended.manifest["result"], ended.files) == (65, "refused", [])
    assert ended.manifest["reason"].startswith("class 0 of points.csv has one example: two at least are needed")
