"""What may be called back: URLs, and the addresses behind them."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from imagefleet_web.callbacks import urls
from imagefleet_web.callbacks.addresses import Addresses, NetworksError, Refused, parse_networks
from imagefleet_web.callbacks.urls import BadUrl, Target

GOOD = {
    "https://example.com": Target(True, "example.com", 443, "/"),
    "http://example.com/": Target(False, "example.com", 80, "/"),
    "HTTPS://Example.COM/Path?a=b&c": Target(True, "example.com", 443, "/Path?a=b&c"),
    "https://example.com:443/x": Target(True, "example.com", 443, "/x"),
    "http://example.com:443/x": Target(False, "example.com", 443, "/x"),
    "https://example.com:8443?x": Target(True, "example.com", 8443, "/?x"),
    "https://example.com./x": Target(True, "example.com", 443, "/x"),
    "https://a_b.c-d.example/": Target(True, "a_b.c-d.example", 443, "/"),
    "https://xn--bcher-kva.example/%C3%BC": Target(True, "xn--bcher-kva.example", 443, "/%C3%BC"),
    "https://192.0.2.1:65535/": Target(True, "192.0.2.1", 65535, "/"),
    "http://[2001:DB8::1]:8080/": Target(False, "2001:db8::1", 8080, "/"),
    "https://example.com//double/../dots": Target(True, "example.com", 443, "//double/../dots"),
}


@pytest.mark.parametrize("url", GOOD)
def test_a_url_says_where_to_send(url: str) -> None:
    assert urls.parse(url) == GOOD[url]


BAD = {
    "nothing": "",
    "no scheme": "example.com/hook",
    "no host": "https:///hook",
    "another scheme": "ftp://example.com/",
    "a file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "a name and password": "https://user:secret@example.com/",
    "a name alone": "https://user@example.com/",
    "a host behind a name": "https://example.com@169.254.169.254/",
    "a host behind an encoded name": "https://example.com%40evil.example/",
    "a fragment": "https://example.com/#x",
    "a space": "https://example.com/a b",
    "a line break": "https://example.com/\r\nX-Evil: 1",
    "a tab in the host": "https://exam\tple.com/",
    "a zero byte": "https://example.com/\0",
    "a backslash": "https://example.com\\@evil.example/",
    "letters beyond ASCII": "https://bücher.example/",
    "digits that look like others": "http://①②⑦.0.0.1/",
    "a port that is none": "https://example.com:http/",
    "a port out of range": "https://example.com:65536/",
    "port 0": "https://example.com:0/",
    "mail's port": "http://example.com:25/",
    "a shell's port": "http://example.com:22/",
    "half an address": "http://[::1/",
    "what is no address": "http://[example.com]/",
    "an address with its interface": "http://[fe80::1%25eth0]/",
    "an address of the future": "http://[v1.x]/",
    "a dash in front": "https://-example.com/",
    "an endless name": f"https://{'a.' * 150}example/",
    "too long": f"https://example.com/{'x' * 2000}",
}


@pytest.mark.parametrize("url", BAD.values(), ids=BAD)
def test_what_is_no_such_url_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        urls.parse(url)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://example.com/", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("http://example.com:8080/", "example.com:8080"),
        ("http://[2001:db8::1]/", "[2001:db8::1]"),
        ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
    ],
)
def test_the_host_is_told_as_it_was_asked_for(url: str, authority: str) -> None:
    assert urls.parse(url).authority == authority


PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "52.95.110.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.167.255.255",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:801::200e",
    "64:ff9b::808:808",  # NAT64 of 8.8.8.8
]

EVIL = {
    "this host": "0.0.0.0",
    "this network": "0.1.2.3",
    "loopback": "127.0.0.1",
    "loopback far up": "127.255.255.254",
    "a private network of class A": "10.0.0.1",
    "a private network of class B": "172.16.0.1",
    "its end": "172.31.255.255",
    "a private network of class C": "192.168.1.1",
    "a provider's NAT": "100.64.0.1",
    "Alibaba's metadata": "100.100.100.200",
    "the metadata of EC2": "169.254.169.254",
    "the credentials of ECS": "169.254.170.2",
    "link-local": "169.254.0.1",
    "Azure's wire server": "168.63.129.16",
    "Oracle's metadata": "192.0.0.192",
    "documentation": "192.0.2.1",
    "a relay of 6to4": "192.88.99.1",
    "benchmarks": "198.18.0.1",
    "more documentation": "203.0.113.7",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "unspecified in IPv6": "::",
    "loopback in IPv6": "::1",
    "IPv4 mapped": "::ffff:169.254.169.254",
    "a public IPv4 mapped": "::ffff:8.8.8.8",
    "IPv4 translated": "::ffff:0:127.0.0.1",
    "IPv4 compatible": "::127.0.0.1",
    "NAT64 of the metadata": "64:ff9b::a9fe:a9fe",
    "NAT64 of loopback": "64:ff9b::7f00:1",
    "NAT64 of a private network": "64:ff9b::a00:1",
    "a network's own NAT64": "64:ff9b:1::808:808",
    "6to4 of the metadata": "2002:a9fe:a9fe::1",
    "6to4 of a public one": "2002:808:808::1",
    "Teredo": "2001:0:a9fe:a9fe::1",
    "ORCHID": "2001:20::1",
    "documentation in IPv6": "2001:db8::1",
    "more documentation in IPv6": "3fff::1",
    "the metadata of EC2 in IPv6": "fd00:ec2::254",
    "unique local": "fc00::1",
    "link-local in IPv6": "fe80::1",
    "site-local": "fec0::1",
    "multicast in IPv6": "ff02::1",
    "discarded": "100::1",
    "segments": "5f00::1",
    "not given out": "4000::1",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address: str) -> None:
    assert Addresses().permits(ip_address(address))


@pytest.mark.parametrize("address", EVIL.values(), ids=EVIL)
def test_all_others_may_not(address: str) -> None:
    assert not Addresses().permits(ip_address(address))


def test_networks_may_be_allowed_in_spite_of_that() -> None:
    allowing = Addresses(parse_networks("10.1.0.0/16, fd00::/8 127.0.0.1"))

    asked = ["10.1.2.3", "10.2.0.1", "fd00:ec2::254", "127.0.0.1", "127.0.0.2", "::ffff:10.1.2.3"]
    assert [allowing.permits(ip_address(each)) for each in asked] == [
        True,
        False,
        True,
        True,
        False,
        False,
    ]
    assert parse_networks("") == ()


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "example.com", "10.0.0.0/8;"])
def test_networks_that_are_none_name_the_setting(text: str) -> None:
    with pytest.raises(NetworksError, match="IMAGEFLEET_CALLBACK_NETWORKS"):
        parse_networks(text)


def resolver(*found: str) -> Any:
    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        six, four = socket.AF_INET6, socket.AF_INET
        return [
            (six, 1, 6, "", (each, port, 0, 0)) if ":" in each else (four, 1, 6, "", (each, port))
            for each in found
        ]

    return resolve


TARGET = urls.parse("https://receiver.example/hook")


def test_of_a_name_only_the_addresses_that_may_be_called_are_taken() -> None:
    found = Addresses(resolve=resolver("10.0.0.1", "8.8.8.8", "::1", "2606:4700::1")).of(TARGET)

    assert [place[1][:2] for place in found] == [("8.8.8.8", 443), ("2606:4700::1", 443)]


@pytest.mark.parametrize("address", [*EVIL.values(), "fe80::1%eth0"])
def test_a_name_for_an_address_that_may_not_be_called_is_refused(address: str) -> None:
    with pytest.raises(Refused, match=r"receiver\.example"):
        Addresses(resolve=resolver(address)).of(TARGET)


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "0", "[::1]"],
)
def test_no_way_to_write_loopback_leads_there(host: str) -> None:
    """However the system's own resolver reads it."""
    with pytest.raises(Refused):
        Addresses().of(urls.parse(f"http://{host}/"))


def test_a_name_that_nobody_knows_is_refused() -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(Refused, match="not known"):
        Addresses(resolve=fail).of(TARGET)
    with pytest.raises(Refused, match="not known"):
        Addresses().of(urls.parse(f"https://{'a' * 64}.example/"))
