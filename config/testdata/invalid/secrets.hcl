database { url = env("DATABASE_URL") }
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
secrets {
  keys = [
    env("SEAL_KEY"),
    env("SEAL_KEY"), # ERROR "Repeated key: Remove"
    env("TOKEN"),    # ERROR "Invalid key: Write 32 random bytes as base64"
    "AAAA",          # WARNING "Literal secret" # ERROR "Invalid key"
    "",              # WARNING "Literal secret" # ERROR "Empty key"
  ]
  key = "x" # ERROR "Unknown attribute: .* Did you mean \"keys\""
}
