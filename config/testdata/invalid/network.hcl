database {
  url = env("DATABASE_URL")
}
outbox {
}
network {
  proxy_resolves = true             # ERROR "Nothing without a proxy: Set network.proxy"
  no_proxy       = ["ok.example", "https://erp.example"] # ERROR "Nothing without a proxy" "Invalid receiver: Write a name such as internal.example"
  ca             = "no PEM"         # ERROR "Invalid authorities: Write PEM of one certificate"
}
endpoint "both" {
  url    = "http://10.0.0.1"        # ERROR "Plain http URL"
  secret = env("ERP_SECRET")
  http   = "2"                      # ERROR "HTTP/2 without TLS: .*use an https URL"
}
endpoint "capitals" {
  url    = "HTTP://erp.example.com" # ERROR "Plain http URL"
  secret = env("ERP_SECRET")
  http   = "2"                      # ERROR "HTTP/2 without TLS"
}
endpoint "third" {
  url    = "https://erp.example.com"
  secret = env("ERP_SECRET")
  http   = "3"                      # ERROR "Unknown http: Write \"1.1\""
}
