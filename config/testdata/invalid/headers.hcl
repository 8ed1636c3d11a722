database { url = "postgres://app:hunter2@db.example.com/app" } # WARNING "Literal secret"
endpoint "a" {
  url       = "https://a.example.com"
  secret    = env("ERP_SECRET")
  signature = "stripe"
  headers   = {
    Webhook-Id       = "hunter2"        # ERROR "Reserved header: Remove it"
    Traceparent      = "00-1"           # ERROR "Reserved header"
    Host             = "x"              # ERROR "Reserved header"
    Connection       = "close"          # ERROR "Reserved header"
    Stripe-Signature = "x"              # ERROR "Reserved header"
    "X Y"            = "x"              # ERROR "Invalid header name"
    X-A              = "a\nb"           # ERROR "Invalid header value"
    X-B              = "b"
    x-b              = "c"              # ERROR "Repeated header: Header names ignore case"
    X-C              = "c"
    X-C              = "d"              # ERROR "Repeated attribute: \"X-C\" is set at line 16 already"
    Authorization    = "Bearer hunter2" # WARNING "Literal secret"
  }
}
endpoint "ed25519" {
  url       = "https://a.example.com"
  secret    = env("ED25519_SECRET") # ERROR "Invalid secret: A whsk_ key signs with signature"
  signature = "github"
}
