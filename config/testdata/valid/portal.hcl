database { url = env("DATABASE_URL") }
api { listen = "127.0.0.1:0" }
panel {
  portal {
    name          = "Acme"
    logo          = "portal-logo.svg"
    color         = "#1d4fb8"
    color_dark    = "#93b4ff"
    url           = "https://hooks.example.com"
    frame_origins = ["https://app.example.com", "http://localhost:3000"]
    refresh_url   = "https://app.example.com/webhooks?from=tailpost"
  }
}
