// Package query holds the SQL of the management API: what it reads of endpoints, attempts,
// deliveries and events, and the changes that it makes.
//
// It never records what the relay did and never decides who may do what. Everything takes the
// tenant that the caller is bound to: what belongs to another one is not found.
//
// # Connections
//
// A Store has a pool of at most [Connections] connections of its own, opened when they are needed
// and closed when they are not. Every statement has a timeout.
//
// # Pages of attempts
//
// A page is to come at once whatever it asks for, and recording a delivered attempt may cost no
// more for that: no B-tree that delivered attempts enter is for pages alone. So there are three
// ways to a page:
//
//	of an event, an endpoint, what failed, a class of failures    the index has the order; it is read as far as the page goes
//	one of these with something else                              so is it, in windows of time
//	the newest, of a type, of a tenant                            windows; a summary of page ranges says where to look
//
// A window ends with its time, and a page that is not full goes on with others for a moment. What
// is rarer than that takes several pages, some of them short or empty, each with a cursor.
//
// # Changes
//
// A change, its row in tailpost.audit and the answer kept for its Idempotency-Key are one
// transaction. Whoever changes tailpost.delivery, or asks for a replay or a resend, says so in the
// same transaction with a logical message, so that the relay that holds the slot looks at the
// queue, and again once the transaction is visible: the stream has a commit before queries see it.
package query
