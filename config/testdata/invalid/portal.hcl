database { url = env("DATABASE_URL") }
api { listen = "127.0.0.1:0" }
panel {
  colour = "red" # ERROR "There is no \"colour\" in the panel block"
  portal {
    name          = "a name of more than sixty characters, which no page has the room to show" # ERROR "Long name"
    logo          = "nothing.png" # ERROR "Unreadable logo: The file cannot be read"
    color         = "#9db7ff"     # ERROR "Faint colour: .*choose a darker one"
    color_dark    = "#222222"     # ERROR "Faint colour: .*choose a lighter one"
    url           = "https://hooks.example.com/portal" # ERROR "Path in an address"
    frame_origins = [
      "https://app.example.com/",  # ERROR "Invalid origin"
      "http://app.example.com",    # ERROR "Invalid origin"
      "https://*.example.com",     # ERROR "Invalid origin"
      "https://a.example; script-src *", # ERROR "Invalid origin"
      "*",                         # ERROR "Invalid origin"
      "https://app.example.com?x=1", # ERROR "Invalid origin"
      "https://app.example.com#x",   # ERROR "Invalid origin"
      "https://me@app.example.com",  # ERROR "Invalid origin"
    ]
    refresh_url = "javascript:alert(1)" # ERROR "Invalid address"
  }
}
