package pubsub

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

const tokenLife = time.Hour

// signer makes identity tokens of the shape that Google sends with a push. The
// key lives as long as the process: they prove nothing outside this machine.
type signer struct {
	now   func() time.Time
	key   *ecdsa.PrivateKey
	keyID string

	mu     sync.Mutex
	tokens map[identity]issued
}

type identity struct{ email, audience string }

type issued struct {
	token string
	at    time.Time
}

func newSigner(now func() time.Time) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pubsub: make a signing key: %w", err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("pubsub: encode the signing key: %w", err)
	}
	sum := sha256.Sum256(public)
	return &signer{now: now, key: key, keyID: hex.EncodeToString(sum[:8]), tokens: map[identity]issued{}}, nil
}

// verify returns whom a token of this signer is for.
func (s *signer) verify(token string) (identity, error) {
	refused := func(why string) (identity, error) {
		return identity{}, fmt.Errorf("the identity token is %s", why)
	}
	dot := strings.LastIndexByte(token, '.')
	_, payload, ok := strings.Cut(token[:max(dot, 0)], ".")
	if !ok {
		return refused("no JWT")
	}
	b64 := base64.RawURLEncoding
	signature, err := b64.DecodeString(token[dot+1:])
	sum := sha256.Sum256([]byte(token[:dot]))
	if err != nil || len(signature) != 64 || !ecdsa.Verify(&s.key.PublicKey, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return refused("not signed by this local cloud, or before it was last started")
	}
	var claims struct {
		Email    string `json:"email"`
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
	}
	text, err := b64.DecodeString(payload)
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		return refused("malformed")
	}
	if s.now().Unix() > claims.Expires {
		return refused("expired")
	}
	return identity{claims.Email, claims.Audience}, nil
}

// token returns a signed token for the account, the same one for half its life.
func (s *signer) token(email, audience string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who, now := identity{email, audience}, s.now()
	if t, ok := s.tokens[who]; ok && now.Sub(t.at) < tokenLife/2 {
		return t.token, nil
	}
	subject := sha256.Sum256([]byte(email))
	claims, err := json.Marshal(map[string]any{
		"iss": "https://accounts.google.com", "aud": audience,
		"azp": hex.EncodeToString(subject[:8]), "sub": hex.EncodeToString(subject[:8]),
		"email": email, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(tokenLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("encode token: %w", err)
	}
	b64 := base64.RawURLEncoding
	signed := b64.EncodeToString(fmt.Appendf(nil, `{"alg":"ES256","kid":%q,"typ":"JWT"}`, s.keyID)) + "." + b64.EncodeToString(claims)
	sum := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	signature := make([]byte, 64) // r and s, 32 bytes each: RFC 7518, 3.4
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	t := signed + "." + b64.EncodeToString(signature)
	s.tokens[who] = issued{t, now}
	return t, nil
}
