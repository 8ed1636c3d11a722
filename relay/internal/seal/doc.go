// Package seal encrypts what the database keeps but must not tell: the signing secrets and header
// values of endpoints that are made through the API. It uses XChaCha20-Poly1305 under keys of the
// configuration: the first one seals, every one opens, so that keys can be replaced one after
// another. What is sealed for one endpoint cannot be opened as another's.
//
// It owns the sealed form and nothing else. It does no I/O, and it never puts a key or a plaintext
// into an error:
//
//	1 byte  4 bytes       24 bytes  n + 16 bytes
//	form    id of the key nonce     ciphertext and tag
package seal
