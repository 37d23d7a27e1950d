// SPDX-License-Identifier: GPL-2.0
/*
 * A stand-in for the memory of the TOA module that real servers load: it keeps options in sockets as that module does,
 * but takes them from a test instead of from packets, and does not change what getpeername() returns.
 *
 * The test writes orders to /proc/toa_orders. /proc/net/toa_stats has the counters of the module. The module cannot be
 * unloaded, so what it keeps is never freed.
 */
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>
#include <net/net_namespace.h>
#include <net/tcp.h>

/* Whether the table has the rows of a module that serves IPv6 listeners. */
static bool counts_ipv6 = true;
module_param(counts_ipv6, bool, 0644);

/* Where an order's option is kept. */
enum place {
	NOWHERE = 0, /* a null pointer */
	IN_PLACE = 1, /* the first eight bytes instead of a pointer */
	ENTRY = 2, /* memory that the socket points to */
	FOREIGN_ENTRY = 3, /* the same, but the entry names another socket */
	TAGGED_ENTRY = 4, /* the same as ENTRY, with flags in the pointer */
};

/* 60 bytes. The addresses of IPv4 packets are IPv4-mapped. */
struct order {
	u8 place;
	u8 is_ipv6; /* whether its packets are */
	__be16 peer_port;
	__be16 server_port;
	u8 unused[2];
	struct in6_addr peer;
	struct in6_addr server;
	u8 option[20];
} __packed;

/* The module's entry for an IPv6 listener's connection. */
struct entry {
	u8 option[20];
	struct sock *sk;
	struct list_head unused;
};

static atomic_t with_toa = ATOMIC_INIT(0);

/* Returns the established socket with a reference, or null. */
static struct sock *find(struct net *net, const struct order *order)
{
	struct inet_hashinfo *table = net->ipv4.tcp_death_row.hashinfo;
	u16 port = ntohs(order->server_port);

	if (order->is_ipv6)
		return __inet6_lookup_established(net, table, &order->peer, order->peer_port, &order->server, port,
						  0, 0);
	return __inet_lookup_established(net, table, order->peer.s6_addr32[3], order->peer_port,
					 order->server.s6_addr32[3], port, 0, 0);
}

static void *kept(struct sock *sk, const struct order *order)
{
	struct entry *entry;
	void *value;

	if (order->place == NOWHERE)
		return NULL;
	if (order->place == IN_PLACE) {
		memcpy(&value, order->option, sizeof(value));
		return value;
	}
	entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	if (!entry)
		return NULL;
	memcpy(entry->option, order->option, sizeof(entry->option));
	entry->sk = order->place == FOREIGN_ENTRY ? NULL : sk;
	return (void *)((unsigned long)entry | (order->place == TAGGED_ENTRY ? 5 : 0));
}

static ssize_t obey(struct file *file, const char __user *from, size_t length, loff_t *position)
{
	struct order order;
	struct sock *sk;

	if (length != sizeof(order))
		return -EINVAL;
	if (copy_from_user(&order, from, sizeof(order)))
		return -EFAULT;
	sk = find(current->nsproxy->net_ns, &order);
	if (!sk)
		return -ENOENT;
	if (sk->sk_state != TCP_ESTABLISHED) {
		sock_gen_put(sk);
		return -ENOTCONN;
	}
	WRITE_ONCE(sk->sk_user_data, kept(sk, &order));
	sock_put(sk);
	if (order.place != NOWHERE)
		atomic_inc(&with_toa);
	return length;
}

static const struct proc_ops orders = { .proc_write = obey };

static int show(struct seq_file *table, void *unused)
{
	seq_printf(table, "syn_recv_sock_toa        :%11d\n", atomic_read(&with_toa));
	seq_printf(table, "syn_recv_sock_no_toa     :%11d\n", 0);
	if (counts_ipv6)
		seq_printf(table, "ip6_address_alloc        :%11d\n", 0);
	return 0;
}

static int __init start(void)
{
	BUILD_BUG_ON(sizeof(struct order) != 60);
	BUILD_BUG_ON(offsetof(struct entry, sk) != 24);
	if (!proc_create("toa_orders", 0200, NULL, &orders) ||
	    !proc_create_single("toa_stats", 0444, init_net.proc_net, show))
		return -ENOMEM;
	return 0;
}

module_init(start);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Stand-in for the memory of the TOA module");
