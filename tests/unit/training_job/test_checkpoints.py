from pathlib import Path

import numpy as np

from training_job.checkpoints import Checkpoint, Store


def test_no_change_of_a_byte_in_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.save(Checkpoint(iteration=1, arrays={"a": np.arange(3), "n": None}, notes={"x": 1}))
    content = path.read_bytes()
    read = 0
    for index in range(len(content)):
        path.write_bytes(content[:index] + bytes([content[index] ^ 0xFF]) + content[index + 1 :])
        read += len(list(store.newest_first()))
    assert 0 < read < len(content) / 2
