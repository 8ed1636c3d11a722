# One static binary and the certificate authorities it trusts, nothing else. `make image` builds it, `make image-check` tests
# the binary in an empty root.
FROM golang:1.26-alpine AS build
RUN apk add --no-cache ca-certificates
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN .ci/build.sh /tailpost

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /tailpost /tailpost
USER 65532:65532
WORKDIR /etc/tailpost
ENTRYPOINT ["/tailpost"]
CMD ["run"]
