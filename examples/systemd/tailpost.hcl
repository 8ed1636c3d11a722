# Secrets come from systemd: LoadCredential puts a copy of each where only this service can read it.
database {
  url = file("/run/credentials/tailpost.service/database-url")
}

endpoint "erp" {
  url    = "https://erp.example.com/webhooks"
  secret = file("/run/credentials/tailpost.service/erp-secret")
  subscription {
    events = ["order.*"]
  }
}
