database { url = env("DATABASE_URL") }
api {
  listen = "0.0.0.0" # ERROR "Invalid address: Write an address and a port"
  lisen  = "x"       # ERROR "Did you mean \"listen\"?"
  key "ci" {
    secret = env("TOKEN")        # ERROR "Short secret: Use at least 20"
    scopes = ["endpoint:write"]  # ERROR "Unknown scope: .*Did you mean \"endpoints:write\"?"
  }
  key "ci" { # ERROR "Repeated key: Key \"ci\" is declared at .*api.hcl:5 already" "Missing secret"
    scopes = [] # ERROR "Missing scopes"
  }
  key { # ERROR "Wrong number of labels: Write key"
    secret = env("ERP_SECRET")
  }
  key "b" {
    secret = env("ERP_SECRET") # ERROR "Repeated secret"
  }
  tls { # ERROR "Incomplete tls block"
    cert = "cert.pem"
  }
}
