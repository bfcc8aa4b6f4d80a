/*
 * restore.h -- from what the instance before has left to segments, groups and ghosts.
 *
 * Nothing is believed that does not check. What does not is refused, by name, and does not keep the rest from coming back.
 */
#pragma once

struct inheritance;
struct server;

/**
 * restore() - take over what there is, and begin a record of our own
 * @server: has no segments yet
 * @in:     sorted; everything is taken out of it that can be used, and the store gives the rest up
 *
 * Nothing that clients can see is changed before restore_finish().
 *
 * Return: 0 or a negative errno.
 */
int restore(struct server *server, struct inheritance *in);

/* The instance before has ended: find out who of its clients live, and clean up after the others. Return: 0 or a negative
 * errno. */
int restore_finish(struct server *server);
