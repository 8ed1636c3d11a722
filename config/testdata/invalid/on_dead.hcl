database { url = env("DATABASE_URL") }
endpoint "a" {
  url     = "https://a.example.com"
  secret  = env("ERP_SECRET")
  on_dead = "hold" # ERROR "Nothing to hold"
}
endpoint "b" {
  url      = "https://b.example.com"
  secret   = env("ERP_SECRET")
  ordering = "key"
  on_dead  = "holds" # ERROR "Did you mean \"hold\""
}
