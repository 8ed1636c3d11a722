database { url = env("DATABASE_URL") }
endpoint "none" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {} # ERROR "Write one of bearer"
}
endpoint "two" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth { # ERROR "Write one of bearer"
    bearer = env("ERP_SECRET")
    basic {
      user     = "a"
      password = env("ERP_SECRET")
    }
  }
}
endpoint "basic" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {
    basic {
      user = "a:b" # ERROR "without a colon"
      password = "in the file" # WARNING "Literal secret"
    }
  }
}
endpoint "oauth2" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {
    oauth2 { # ERROR "Set it to the id"
      token_url     = "http://127.0.0.1/token" # ERROR "Use https: the client's secret goes there"
      client_secret = env("ERP_SECRET")
      scopes        = ["a b"] # ERROR "each scope as an element"
      style         = "query" # ERROR "Write \"header\" or \"body\""
    }
  }
}
endpoint "tls" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  headers = {
    authorization = env("ERP_SECRET") # ERROR "The auth block sets this header"
  }
  auth { bearer = env("ERP_SECRET") }
  tls { # ERROR "Set it to the key of the certificate"
    cert = "-----BEGIN CERTIFICATE-----"
    ca   = "no PEM" # ERROR "Write PEM of one certificate or more"
  }
}
