#!/bin/sh -e
# Inside the guest: run a command as a user without rights who has a systemd user manager, as one who logs in has it.
# The host's files are the guest's, so /run is covered, and all that is written goes to the user's own folder.
export HOME="$HOME/user" TMPDIR="$HOME/user" XDG_RUNTIME_DIR=/run/user SYSTEMD_UNIT_PATH="$HOME/user/units"
user=65534 group=/sys/fs/cgroup/user
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" "$SYSTEMD_UNIT_PATH" # the first says that systemd runs here
for unit in basic default shutdown; do echo '[Unit]' >"$SYSTEMD_UNIT_PATH/$unit.target"; done
chown -R $user "$HOME" "$XDG_RUNTIME_DIR"
echo '+memory +io' >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p $group/manager $group/session
chown -R $user $group
# The user may read all files, as the environment of the tests may be another's, but write none.
may='-all,+dac_read_search'
as_user() { exec setpriv --reuid=$user --regid=$user --clear-groups --inh-caps=$may --ambient-caps=$may "$@"; }
# Only whoever is in its group may start it, and it makes groups in there.
(echo 0 >$group/cgroup.procs && as_user /lib/systemd/systemd --user --log-target=null) &
until [ -S "$XDG_RUNTIME_DIR/systemd/private" ]; do sleep 0.05; done
echo 0 >$group/session/cgroup.procs
as_user "$@"
