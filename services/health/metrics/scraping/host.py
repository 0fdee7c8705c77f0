"""This machine's CPU, memory, disks and network as a metrics page, in the words of Prometheus' node exporter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import psutil

_Sample = tuple[Mapping[str, str], float]
_NO_LABELS: Mapping[str, str] = {}
_VIRTUAL = ("squashfs", "tmpfs", "overlay", "proc", "sysfs", "devtmpfs", "cgroup", "cgroup2")


def host_page() -> bytes:
    """What this machine says of itself now. May block where a disk hangs."""
    lines: list[str] = []
    for name, kind, text, samples in _families():
        lines += (f"# HELP {name} {text}", f"# TYPE {name} {kind}")
        for labels, value in samples:
            inside = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels.items())
            lines.append(f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}")
    return "\n".join(lines).encode()


def _families() -> Iterator[tuple[str, str, str, Iterable[_Sample]]]:
    yield "node_cpu_seconds_total", "counter", "Seconds the CPUs spent in each mode.", _cpu_seconds()
    for minutes, load in zip((1, 5, 15), psutil.getloadavg(), strict=True):
        yield f"node_load{minutes}", "gauge", f"{minutes} min load average.", [(_NO_LABELS, load)]
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    sizes = {
        "MemTotal": memory.total,
        "MemAvailable": memory.available,
        "MemFree": memory.free,
        "SwapTotal": swap.total,
        "SwapFree": swap.free,
    }
    for name, size in sizes.items():
        yield f"node_memory_{name}_bytes", "gauge", f"Memory: {name}.", [(_NO_LABELS, float(size))]
    yield "node_boot_time_seconds", "gauge", "When the machine was started.", [(_NO_LABELS, psutil.boot_time())]
    yield from _disks()
    yield from _network()


def _cpu_seconds() -> list[_Sample]:
    return [
        ({"cpu": str(number), "mode": mode}, float(seconds))
        for number, times in enumerate(psutil.cpu_times(percpu=True))
        for mode, seconds in times._asdict().items()
        if mode not in ("guest", "guest_nice")  # user and nice have them already
    ]


def _disks() -> Iterator[tuple[str, str, str, Iterable[_Sample]]]:
    sizes: list[_Sample] = []
    available: list[_Sample] = []
    for partition in psutil.disk_partitions(all=False):
        if partition.fstype in _VIRTUAL:
            continue
        try:
            usage = psutil.disk_usage(partition.mountpoint)
        except OSError:
            continue  # it has gone, or is not for this user to see
        labels = {"device": partition.device, "fstype": partition.fstype, "mountpoint": partition.mountpoint}
        sizes.append((labels, float(usage.total)))
        available.append((labels, float(usage.free)))
    yield "node_filesystem_size_bytes", "gauge", "Size of the file system.", sizes
    yield "node_filesystem_avail_bytes", "gauge", "Room for users on the file system.", available
    counters = psutil.disk_io_counters(perdisk=True) or {}
    read = [({"device": device}, float(each.read_bytes)) for device, each in counters.items()]
    written = [({"device": device}, float(each.write_bytes)) for device, each in counters.items()]
    yield "node_disk_read_bytes_total", "counter", "Bytes read.", read
    yield "node_disk_written_bytes_total", "counter", "Bytes written.", written


def _network() -> Iterator[tuple[str, str, str, Iterable[_Sample]]]:
    counters = psutil.net_io_counters(pernic=True)
    received = [({"device": device}, float(each.bytes_recv)) for device, each in counters.items()]
    sent = [({"device": device}, float(each.bytes_sent)) for device, each in counters.items()]
    yield "node_network_receive_bytes_total", "counter", "Bytes received.", received
    yield "node_network_transmit_bytes_total", "counter", "Bytes sent.", sent


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
