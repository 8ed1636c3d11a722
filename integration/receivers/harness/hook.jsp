<%@ page contentType="text/plain; charset=UTF-8" session="false" %><%
    // Before it stand the imports and the class of docs/receiving.md. The query has the scheme, the variable of the secret,
    // and how the body is read: as bytes, by a reader, or by a reader that was told UTF-8.
    if (request.getQueryString() == null) {
        out.print("ready");
        return;
    }
    String[] words = request.getQueryString().split("\\+");
    byte[] body;
    if (words[2].equals("bytes")) {
        body = request.getInputStream().readAllBytes();
    } else {
        if (words[2].equals("utf8")) {
            request.setCharacterEncoding("UTF-8");
        }
        java.io.StringWriter text = new java.io.StringWriter();
        request.getReader().transferTo(text);
        body = text.toString().getBytes(StandardCharsets.UTF_8);
    }
    java.util.TreeMap<String, String> headers = new java.util.TreeMap<>();
    for (String name : java.util.Collections.list(request.getHeaderNames())) {
        headers.put(name.toLowerCase(), request.getHeader(name));
    }
    String secret = System.getenv(words[1]);
    boolean genuine = words[0].equals("stripe") ? Verifier.stripe(secret, headers, body)
        : words[0].equals("github") ? Verifier.github(secret, headers, body)
        : Verifier.standard(secret, headers, body);
    response.setStatus(genuine ? 200 : 401);
%>
