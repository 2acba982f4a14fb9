"""An origin that speaks TLS, a viewer that does not."""

from __future__ import annotations

from bench import contenders
from bench.film import film
from bench.lab import Lab, cpu_per_gb
from bench.report import Table

TITLE = "isolated, HTTPS → HTTP"


def run(lab: Lab) -> list[Table]:
    """One viewer as fast as it goes; the origin's certificate is verified by all."""
    name = film(lab.films, 20000).stem
    certificate = lab.certificate()
    origin, port = lab.origin(str(certificate))
    viewers = lab.viewers()
    path = f"/{name}/0/32768"
    trusted = {"SSL_CERT_FILE": f"{certificate}.crt"}
    those = [lab.iptvd(port, [path], scheme="https", sharing="isolated", environment=trusted)]
    if contenders.present("nginx"):
        extra = f"proxy_buffering off; proxy_ssl_verify on; proxy_ssl_trusted_certificate {certificate}.crt;"
        extra += " proxy_ssl_name 127.0.0.1; proxy_ssl_protocols TLSv1.2 TLSv1.3;"
        those.insert(0, lab.add(contenders.nginx(lab.folder, port, scheme="https", extra=extra)))
    table = Table("1 viewer, unpaced, the origin writes 32,768 bytes", "CPU s/GB")
    cpu_per_gb(lab, table, viewers, those, [path], busy=(origin, viewers))
    table.against("iptvd", "nginx", 1.5)
    return [table]
