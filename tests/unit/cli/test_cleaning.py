import pytest

from mmdet_jetson.cli.cleaning import cleaner


@pytest.fixture(autouse=True)
def _alice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "alice")
    monkeypatch.setenv("HOME", "/srv/people/alice")
    monkeypatch.setattr("platform.node", lambda: "Workshop-Orin.lab.example")


SSH = "ssh -o ConnectTimeout=30 -T -l alice -- alices-orin.local docker system dial-stdio"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (
            f"command [{SSH}] has exited",
            "command [ssh -- HOST docker system dial-stdio] has exited",
        ),
        ("/srv/people/alice/x and /home/bob/x", "~/x and /home/USER/x"),
        ("Alice_photos of workshop-orin", "USER_photos of HOST"),
        ("carol@there: Permission denied", "USER@HOST: Permission denied"),
        ("dial tcp 10.9.8.7:2375: refused", "dial tcp HOST:2375: refused"),
        ("no route to 10.1.2.3", "no route to HOST"),
        ("connect to host barn port 22", "connect to host HOST port 22"),
        ("Could not resolve hostname barn: no", "Could not resolve host HOST: no"),
        ("lookup barn on 127.0.0.53:53", "lookup HOST on HOST:53"),
        ("https://u:p@acme.example/x?key=1 then", "https://HOST/x then"),
        ("deploy:1:barn 1f2e-3d arm64 x 8:power", "deploy:1:HOST arm64 x 8:power"),
        ("val: the picture john doe (1).JPG is 9 px", "val: PICTURE is 9 px"),
        ("the Docker host is barn-7, sesame", "the Docker host is HOST, USER"),
        ('{"message": "train/john.png"}', '{"message": " PICTURE"}'),
    ],
)
def test_names_and_addresses_are_taken_out(text: str, cleaned: str) -> None:
    clean = cleaner(["tcp://u:sesame@10.1.2.3:2375", "ssh://alice@alices-orin.local"], ["barn-7"])
    assert clean({"said": [text]}) == {"said": [cleaned]}


@pytest.mark.parametrize(
    "text",
    [
        "l4t36.4.3:trt10.3.0.30:sm87, python3-libnvinfer 10.3.0.30-1+cuda12.5",
        "Intel(R) Xeon(R) CPU @ 2.20GHz x 2",
        "mmdet-jetson/jp62@sha256:0123abcd, unix:///var/run/docker.sock, file:///tmp/x",
        "NVIDIA Jetson Orin NX, compute capability 8.7, malice",
        "orin-nano-jp62-fp16 on NVIDIA Jetson Orin Nano, /var/run",
        "mAP@0.5 of 0.6; GLIBC_2.34 not found; f(x)[0:1]",
    ],
)
def test_what_a_device_is_stays(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "nvidia")  # as JetPack's own user is often called
    monkeypatch.setattr("platform.node", lambda: "orin-nano2")
    clean = cleaner(["default", "unix:///var/run/docker.sock", "ssh://[x"], ["localhost"])
    assert clean(text) == text
