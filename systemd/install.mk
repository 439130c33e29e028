# install.mk - `make install DESTDIR= PREFIX=/usr`; included by the Makefile.
# Under DESTDIR nothing of this machine is touched; without it the operator runs `systemctl daemon-reload` and enables hactl.
DOCDIR  := $(PREFIX)/share/doc/hactl
UNITDIR := $(PREFIX)/lib/systemd/system
BINPATH := $(PREFIX)/bin/hactl

.PHONY: install
install: all
	install -D -m 0755 $(BUILD)/hactl $(DESTDIR)$(BINPATH)
	install -d $(DESTDIR)$(UNITDIR)
	sed 's|/usr/bin/hactl|$(BINPATH)|g' systemd/hactl.service >$(DESTDIR)$(UNITDIR)/hactl.service
	sed 's|/usr/bin/hactl|$(BINPATH)|g' systemd/hactl-guard.service >$(DESTDIR)$(UNITDIR)/hactl-guard.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/hactl.service $(DESTDIR)$(UNITDIR)/hactl-guard.service
	install -D -m 0644 systemd/hactl.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/hactl.conf
	install -D -m 0644 systemd/hactl.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/hactl.conf
	for page in $(wildcard conf/man/*.[1-8]); do \
		install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; done
	install -D -m 0755 conf/keepalived/hactl-notify $(DESTDIR)$(PREFIX)/lib/hactl/hactl-notify
	install -D -m 0755 conf/hooks/reseed-mariadb $(DESTDIR)$(PREFIX)/lib/hactl/reseed-mariadb
	install -D -m 0644 conf/completion/hactl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hactl
	install -d $(DESTDIR)$(DOCDIR)/examples
	cp -R conf/hactl.conf $(filter-out conf/man conf/completion conf/hactl.conf,$(wildcard conf/*)) $(DESTDIR)$(DOCDIR)/examples/
	chmod -R u=rwX,go=rX $(DESTDIR)$(DOCDIR)/examples
	install -d -m 0755 $(DESTDIR)/etc/hactl $(DESTDIR)/etc/hactl/hooks
	test -e $(DESTDIR)/etc/hactl/hactl.conf || install -m 0644 conf/hactl.conf $(DESTDIR)/etc/hactl/hactl.conf
