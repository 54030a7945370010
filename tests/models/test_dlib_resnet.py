from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from purify.errors import InputError
from purify.faces.packaged_models import packaged_model
from purify.models.dlib_resnet import CHIP_SIZE, DLIB_DIM, load_dlib_resnet

WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"


def test_outputs_are_those_of_dlib() -> None:
    dlib = pytest.importorskip("dlib")
    path = packaged_model(WEIGHTS)
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (2, 3, 10, 10)))
    smooth = torch.nn.functional.interpolate(coarse, (CHIP_SIZE, CHIP_SIZE), mode="bilinear")
    chips = np.ascontiguousarray(smooth.permute(0, 2, 3, 1).numpy().astype(np.uint8))
    expected = [dlib.face_recognition_model_v1(str(path)).compute_face_descriptor(chip) for chip in chips]
    with torch.inference_mode():
        found = load_dlib_resnet(path)(torch.from_numpy(chips).permute(0, 3, 1, 2).float()).numpy()
    assert found.shape == (2, DLIB_DIM)
    np.testing.assert_allclose(found, np.array(expected), atol=1e-4)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.dat"
    for content in (b"", b"no network", b"\x01\x05con_4\x01\x02\x02\x80\x12"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"other\.dat: not the weights of dlib's face network"):
            load_dlib_resnet(path)
