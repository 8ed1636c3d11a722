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
      token_url     = "http://127.0.0.1/token" # ERROR "Use https: what shows who the client is goes there"
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
endpoint "assertion" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {
    oauth2 {
      token_url     = "https://login.example.com/token"
      client_id     = "tailpost"
      client_secret = env("ERP_SECRET") # ERROR "The assertion shows who the client is"
      style         = "body"            # ERROR "Leave it out: the assertion goes in the form"
      assertion {
        key       = env("ERP_SECRET") # ERROR "It is no PEM"
        algorithm = "HS256"           # ERROR "Write \"RS256\""
        subject   = "somebody"        # ERROR "Leave it out: of an assertion"
        key_id    = "two\nlines"      # ERROR "Write one line"
      }
    }
  }
}
endpoint "grant" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {
    oauth2 {
      token_url = "https://login.example.com/token"
      assertion { # ERROR "Set it to the name that the authorization server knows the key by"
        use = "grant"
        key = "" # ERROR "Set it to PEM of a private key"
      }
    }
  }
}
endpoint "use" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {
    oauth2 {
      token_url     = "https://login.example.com/token"
      client_id     = "tailpost"
      client_secret = env("ERP_SECRET")
      assertion {
        use = "both"                    # ERROR "Write \"client\" or \"grant\""
        key = env("ERP_SECRET")         # ERROR "It is no PEM"
        kid = "a"                       # ERROR "There is no \"kid\""
      }
    }
  }
}
endpoint "token-fragment" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {
    oauth2 {
      token_url     = "https://login.example.com/token#a" # ERROR "Write an absolute URL without user and fragment"
      client_id     = "tailpost"
      client_secret = env("ERP_SECRET")
    }
  }
}
endpoint "token-user" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {
    oauth2 {
      token_url     = "https://me@login.example.com/token" # ERROR "Write an absolute URL without user and fragment"
      client_id     = "tailpost"
      client_secret = env("ERP_SECRET")
    }
  }
}
endpoint "token-path" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  auth {
    oauth2 {
      token_url     = "/token" # ERROR "Write an absolute URL without user and fragment"
      client_id     = "tailpost"
      client_secret = env("ERP_SECRET")
    }
  }
}
