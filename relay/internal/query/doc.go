// Package query holds the SQL of the management API: what it reads of endpoints, attempts,
// deliveries and events, and the changes that it makes.
//
// It never records what the relay did and never decides who may do what. Every query takes the
// tenant that the caller is bound to: what belongs to another tenant is not found.
//
// A Store and a Change are composed of one part per noun (attempts, events, endpoints, …). A new
// query is a method of its noun's part.
//
// # Connections
//
// A Store has a pool of at most [Connections] connections of its own, opened when they are needed
// and closed when they are not. Every statement has a timeout.
//
// # Pages of attempts
//
// A page must come at once, whatever it asks for, and must not make it dearer to record a delivered
// attempt: no B-tree that delivered attempts enter exists for pages alone. So there are three ways
// to a page:
//
//	of an event, an endpoint, failures, a class of failures    an index has the order; it is read
//	                                                           as far as the page goes
//	one of these and something else                            the same, in windows of time
//	the newest, of a type, of a tenant                         windows; a summary of page ranges
//	                                                           says where to look
//
// A page that one window does not fill reads further windows for a moment. What is rarer than that
// takes several pages, some of them short or empty, each with a cursor.
//
// # Changes
//
// A change, its row in tailpost.audit and the answer kept for its Idempotency-Key are one
// transaction. A change of tailpost.delivery, a replay or a resend is announced in the same
// transaction by a logical message, so that the relay that holds the slot looks at the queue, and
// announced again once the transaction is visible: the stream has a commit before queries see it.
package query
