/** One experiment: steps that run on a host in its clean state, with a reading of the limits after each. */
export interface Row {
  /** Unique; the part before the first dot is the group. */
  id: string;
  title: string;
  /** The new limit: what readings call 'new'. */
  wanted: string;
  /** Units whose readings are kept. */
  units: string[];
  /** Units of alice's own manager. */
  userUnits?: string[];
  /** Name and shell script (with the functions of on-host.sh), in order. */
  steps: [string, string][];
  /** Kernel settings can only be changed where the host has a kernel of its own. */
  vmOnly?: boolean;
  /** Only of interest where daemon-reload alone does not reach the kernel. */
  onlyIfPending?: boolean;
}

const alice = 'user-1000.slice';
const bob = 'user-1001.slice';
const own = 'trial-own.service';
const reload = 'systemctl daemon-reload';
const wanted = '900';

/** What may make systemd write the limits of a running service again. */
const serviceEvents: Record<string, string> = {
  'daemon-reload': reload,
  'daemon-reexec': 'systemctl daemon-reexec',
  'start-again': `systemctl start ${own}`,
  'reload-unit': `systemctl reload ${own}`,
  signal: `exits kill systemctl kill -s CONT ${own}`,
  'freeze-thaw': `exits freeze systemctl freeze ${own}; exits thaw systemctl thaw ${own}`,
  'set-property-unrelated': `systemctl set-property --runtime ${own} CPUWeight=100; written ${own}`,
  'set-property-parent': 'systemctl set-property --runtime system.slice CPUWeight=100',
  'set-property-sibling': 'systemctl set-property --runtime trial-default.service CPUWeight=100',
  'set-property-sibling-tasks': 'systemctl set-property --runtime trial-default.service TasksMax=800',
  'start-sibling': 'systemctl start trial-sibling.service',
  'stop-sibling': 'systemctl stop trial-default.service',
  'reload-sibling': 'systemctl reload trial-default.service',
  'restart-sibling': 'systemctl restart trial-default.service',
  'scope-in-same-slice': 'systemd-run --quiet --scope --slice=system.slice true',
  'start-elsewhere': 'systemctl start trial-elsewhere.service',
  'ssh-login': 'login alice',
  'show-unit': `systemctl show ${own} >/dev/null`,
  'list-units': 'systemctl list-units --all >/dev/null',
  'show-unloaded-sibling': 'systemctl show trial-sibling.service >/dev/null',
  'show-missing-unit': 'systemctl show trial-missing.service >/dev/null',
  'show-unloaded-elsewhere': 'systemctl show trial-elsewhere.service >/dev/null',
  restart: `systemctl restart ${own}`,
};

/** The same for the slice of a user who is logged in. */
const sliceEvents: Record<string, string> = {
  'daemon-reload': reload,
  'daemon-reexec': 'systemctl daemon-reexec',
  'second-login': 'login alice',
  'other-user-login': 'login bob',
  'su-login': 'su - alice -c true',
  'cron-like-session': 'exits run runuser -l alice -c true',
  'scope-in-slice': `systemd-run --quiet --scope --slice=${alice} true`,
  'set-property-unrelated': `systemctl set-property --runtime ${alice} CPUWeight=100; written ${alice}`,
  'set-property-parent': 'systemctl set-property --runtime user.slice CPUWeight=100',
  'set-property-child': 'systemctl set-property --runtime user@1000.service CPUWeight=100',
  'restart-user-manager': 'systemctl restart user@1000.service',
  'reload-user-manager': 'exits reload systemctl reload user@1000.service',
  'user-daemon-reload': 'as_alice systemctl --user daemon-reload',
  'start-user-unit': 'as_alice systemd-run --quiet --user --unit=trial-x true',
  'restart-logind': 'systemctl restart systemd-logind',
  'start-elsewhere': 'systemctl start trial-sibling.service',
  'show-unit': `systemctl show ${alice} >/dev/null`,
  'show-unloaded-user': 'systemctl show user-4242.slice >/dev/null',
  'show-unloaded-elsewhere': 'systemctl show trial-elsewhere.service >/dev/null',
  'enable-linger': 'loginctl enable-linger alice',
};

const rows: Row[] = [];
const add = (row: Omit<Row, 'wanted'> & { wanted?: string }) => rows.push({ wanted, ...row });

// a, b: drop-ins for user slices.
add({
  id: 'a.every-user',
  title: 'user-.slice.d drop-in',
  units: [alice, bob],
  steps: [
    ['file', `dropin user-.slice ${wanted}`],
    ['daemon-reload', reload],
    ['another user logs in', 'login bob'],
    ['the user logs in again', 'login alice'],
    ['the user logs out and in', 'logout alice; login alice'],
  ],
});
add({
  id: 'a.every-user-no-further-login',
  title: 'user-.slice.d drop-in, full logout and login',
  units: [alice],
  steps: [
    ['file and daemon-reload', `dropin user-.slice ${wanted}; ${reload}`],
    ['the user logs out and in', 'logout alice; login alice'],
  ],
});
add({
  id: 'a.no-reload',
  title: 'user-.slice.d drop-in without daemon-reload',
  units: [alice, bob],
  steps: [
    ['file', `dropin user-.slice ${wanted}`],
    ['another user logs in', 'login bob'],
    ['the user logs in again', 'login alice'],
    ['the user logs out and in', 'logout alice; login alice'],
  ],
});
add({
  id: 'a.known-directory',
  title: 'user-.slice.d drop-in, one file of ours already there',
  wanted: '950',
  units: [alice],
  steps: [
    ['first file and daemon-reload', `dropin user-.slice ${wanted}; ${reload}`],
    ['same file, new value', 'sleep 1.1; dropin user-.slice 950'],
    ['daemon-reload', reload],
  ],
});
add({
  id: 'b.one-user',
  title: 'user-1000.slice.d drop-in',
  units: [alice],
  steps: [
    ['file', `dropin ${alice} ${wanted}`],
    ['daemon-reload', reload],
    ['the user logs in again', 'login alice'],
    ['the user logs out and in', 'logout alice; login alice'],
  ],
});
for (const [event, script] of Object.entries(sliceEvents)) {
  add({
    id: `b.then-${event}`,
    title: `user-1000.slice.d drop-in and daemon-reload, then ${event}`,
    units: [alice],
    onlyIfPending: true,
    steps: [
      ['file and daemon-reload', `dropin ${alice} ${wanted}; ${reload}`],
      [event, script],
    ],
  });
}

// c: drop-ins for services and other units.
add({
  id: 'c.all-kinds',
  title: 'drop-ins for units of each kind',
  units: [
    own,
    'trial-tmpl@one.service',
    'trial-child.service',
    'trial-parent.slice',
    'trial-bare.slice',
    'trial.scope',
  ],
  steps: [
    [
      'files',
      `for unit in ${own} trial-tmpl@.service trial-child.service trial-parent.slice trial-bare.slice trial.scope; do dropin $unit ${wanted}; done`,
    ],
    ['daemon-reload', reload],
    ['another unit starts in the slice', 'systemd-run --quiet --scope --slice=trial-parent.slice true'],
    ['daemon-reexec', 'systemctl daemon-reexec'],
    [
      'set-property of an unrelated property',
      `for unit in ${own} trial-tmpl@one.service trial-child.service trial-parent.slice trial-bare.slice trial.scope; do systemctl set-property --runtime $unit CPUWeight=100; done`,
    ],
  ],
});
for (const [event, script] of Object.entries(serviceEvents)) {
  add({
    id: `c.then-${event}`,
    title: `service drop-in and daemon-reload, then ${event}`,
    units: [own],
    onlyIfPending: true,
    steps: [
      ['file and daemon-reload', `dropin ${own} ${wanted}; ${reload}`],
      [event, script],
    ],
  });
}
add({
  id: 'c.no-reload-restart',
  title: 'service drop-in without daemon-reload, then restart',
  units: [own],
  steps: [
    ['file', `dropin ${own} ${wanted}`],
    ['restart', `exits restart systemctl restart ${own}`],
  ],
});

// d: the manager's default.
const systemConf = `mkdir -p /etc/systemd/system.conf.d; printf '[Manager]\\nDefaultTasksMax=${wanted}\\n' >/etc/systemd/system.conf.d/60-trial.conf`;
const managerDefault = 'fact manager-default "$(systemctl show -p DefaultTasksMax --value)"';
add({
  id: 'd.default',
  title: 'DefaultTasksMax in system.conf.d',
  units: ['trial-default.service', own, alice, 'trial-bare.slice'],
  steps: [
    ['file', `${systemConf}; ${managerDefault}`],
    ['daemon-reload', `${reload}; ${managerDefault}`],
    ['daemon-reexec', `systemctl daemon-reexec; ${managerDefault}`],
    ['restart', 'systemctl restart trial-default.service'],
  ],
});
add({
  id: 'd.default-new-service',
  title: 'DefaultTasksMax in system.conf.d, then a service starts',
  units: ['trial-sibling.service', 'trial-default.service'],
  steps: [
    ['file and daemon-reload', `${systemConf}; ${reload}`],
    ['a service starts', 'systemctl start trial-sibling.service'],
    ['systemctl reload', 'systemctl reload trial-default.service'],
  ],
});
add({
  id: 'd.default-only-reexec',
  title: 'DefaultTasksMax in system.conf.d, daemon-reexec without daemon-reload',
  units: ['trial-default.service'],
  steps: [
    ['file', systemConf],
    ['daemon-reexec', `systemctl daemon-reexec; ${managerDefault}`],
  ],
});

// e: set-property.
for (const [unit, name] of [
  [own, 'service'],
  [alice, 'user-slice'],
] as const) {
  for (const flag of ['', '--runtime'] as const) {
    add({
      id: `e.${name}${flag && '-runtime'}`,
      title: `set-property ${flag} ${unit} TasksMax=`.replace('  ', ' '),
      units: [unit],
      steps: [
        ['set-property', `systemctl set-property ${flag} ${unit} TasksMax=${wanted}; written ${unit}`],
        ['daemon-reload', reload],
        name === 'service'
          ? ['restart', `systemctl restart ${unit}`]
          : ['the user logs out and in', `logout alice; login alice; written ${unit}`],
      ],
    });
  }
  add({
    id: `e.${name}-later-file`,
    title: `set-property ${unit} TasksMax= while a 90-x.conf says 800`,
    units: [unit],
    steps: [
      ['90-x.conf, daemon-reload, write', `dropin ${unit} 800 90-x.conf; ${reload}; write ${unit} 800`],
      ['set-property', `systemctl set-property ${unit} TasksMax=${wanted}; written ${unit}`],
      ['daemon-reload', reload],
      ['set-property of an unrelated property', `systemctl set-property --runtime ${unit} CPUWeight=100`],
    ],
  });
  add({
    id: `e.${name}-percent`,
    title: `set-property ${unit} TasksMax=40%`,
    units: [unit],
    steps: [
      ['set-property', `systemctl set-property ${unit} TasksMax=40%; written ${unit}`],
      ['daemon-reload', reload],
      ['set-property of an unrelated property', `systemctl set-property --runtime ${unit} CPUWeight=100`],
    ],
  });
}
add({
  id: 'e.percent-then-number',
  title: 'set-property TasksMax=40%, then set-property TasksMax=900',
  units: [own],
  steps: [
    ['40%', `systemctl set-property ${own} TasksMax=40%`],
    [wanted, `systemctl set-property ${own} TasksMax=${wanted}; written ${own}`],
    ['daemon-reload', reload],
    ['set-property of an unrelated property', `systemctl set-property --runtime ${own} CPUWeight=100`],
  ],
});
add({
  id: 'e.number-then-percent',
  title: 'set-property TasksMax=900, then set-property TasksMax=40%',
  units: [own],
  steps: [
    [wanted, `systemctl set-property ${own} TasksMax=${wanted}`],
    ['40%', `systemctl set-property ${own} TasksMax=40%; written ${own}`],
    ['daemon-reload', reload],
    ['set-property of an unrelated property', `systemctl set-property --runtime ${own} CPUWeight=100`],
  ],
});
add({
  id: 'e.values',
  title: 'set-property TasksMax=infinity, then empty',
  units: [own],
  steps: [
    ['infinity', `exits set systemctl set-property ${own} TasksMax=infinity; written ${own}`],
    [wanted, `systemctl set-property ${own} TasksMax=${wanted}`],
    ['empty', `exits set systemctl set-property ${own} TasksMax=; written ${own}`],
    ['0', `exits set systemctl set-property ${own} TasksMax=0; written ${own}`],
  ],
});
add({
  id: 'e.logged-out',
  title: 'set-property for a user who is logged out',
  units: [alice],
  steps: [
    [
      'set-property',
      `logout alice; exits set systemctl set-property ${alice} TasksMax=${wanted}; written ${alice}`,
    ],
    ['login', 'login alice'],
    ['logout and login', `logout alice; login alice; written ${alice}`],
  ],
});
add({
  id: 'e.every-user',
  title: 'set-property user-.slice TasksMax=',
  units: [alice],
  steps: [['set-property', `exits set systemctl set-property user-.slice TasksMax=${wanted}`]],
});

// f: taking it back.
const leftover = (unit: string) =>
  `fact left "$(find /etc/systemd/system /run/systemd/system.control /etc/systemd/system.control /run/systemd/transient -path '*${unit}.d*' 2>/dev/null | sort)"`;
for (const [unit, name] of [
  [own, 'service'],
  [alice, 'user-slice'],
] as const) {
  const enforced = `dropin ${unit} ${wanted}; ${reload}; write ${unit} ${wanted}`;
  const another: [string, string] =
    name === 'service'
      ? ['systemctl reload', `systemctl reload ${unit}`]
      : ['the user logs in again', 'login alice'];
  add({
    id: `f.${name}-remove-file`,
    title: `drop-in of ${unit} removed`,
    units: [unit],
    steps: [
      ['file, daemon-reload, write', enforced],
      ['file removed', `rm /etc/systemd/system/${unit}.d/60-trial.conf`],
      ['daemon-reload', `${reload}; ${leftover(unit)}`],
      another,
    ],
  });
  add({
    id: `f.${name}-revert-file`,
    title: `systemctl revert ${unit} with a drop-in`,
    units: [unit],
    steps: [
      ['file, daemon-reload, write', enforced],
      ['systemctl revert', `exits revert systemctl revert ${unit}; ${leftover(unit)}`],
      ['daemon-reload', reload],
      another,
    ],
  });
  for (const flag of ['', '--runtime'] as const) {
    add({
      id: `f.${name}-revert-property${flag && '-runtime'}`,
      title: `systemctl revert after set-property ${flag}`.trim(),
      units: [unit],
      steps: [
        ['set-property', `systemctl set-property ${flag} ${unit} TasksMax=${wanted}`],
        ['systemctl revert', `exits revert systemctl revert ${unit}; ${leftover(unit)}`],
        ['daemon-reload', reload],
        another,
      ],
    });
  }
}
add({
  id: 'f.every-user-remove-file',
  title: 'user-.slice.d drop-in removed',
  units: [alice],
  steps: [
    ['file, daemon-reload, write', `dropin user-.slice ${wanted}; ${reload}; write ${alice} ${wanted}`],
    ['file removed, daemon-reload', `rm -r /etc/systemd/system/user-.slice.d; ${reload}`],
    ['the user logs in again', 'login alice'],
  ],
});

// g: writing into the kernel, past systemd.
for (const [event, script] of Object.entries(serviceEvents)) {
  add({
    id: `g.service-then-${event}`,
    title: `direct write to a service's pids.max, files untouched, then ${event}`,
    units: [own],
    steps: [
      ['write', `write ${own} ${wanted}`],
      [event, script],
    ],
  });
}
for (const [event, script] of Object.entries(sliceEvents)) {
  add({
    id: `g.user-slice-then-${event}`,
    title: `direct write to a user slice's pids.max, files untouched, then ${event}`,
    units: [alice],
    steps: [
      ['write', `write ${alice} ${wanted}`],
      [event, script],
    ],
  });
}
add({
  id: 'g.service-reload-then-sibling',
  title: "direct write to a service's pids.max, files untouched, daemon-reload, then a sibling starts",
  units: [own],
  steps: [
    ['write', `write ${own} ${wanted}`],
    ['daemon-reload', reload],
    ['start-sibling', 'systemctl start trial-sibling.service'],
  ],
});
add({
  id: 'g.bridge-service',
  title: 'the bridge for a service: file, daemon-reload, direct write; then every event in turn',
  units: [own],
  steps: [
    ['file, daemon-reload, write', `dropin ${own} ${wanted}; ${reload}; write ${own} ${wanted}`],
    ...Object.entries(serviceEvents),
  ],
});
add({
  id: 'g.bridge-user-slice',
  title: 'the bridge for a user slice: file, daemon-reload, direct write; then every event in turn',
  units: [alice],
  steps: [
    ['file, daemon-reload, write', `dropin user-.slice ${wanted}; ${reload}; write ${alice} ${wanted}`],
    ...Object.entries(sliceEvents),
    ['the user logs out and in', 'loginctl disable-linger alice; logout alice; login alice'],
  ],
});

// h: the kernel's own ceilings.
for (const key of ['kernel.pid_max', 'kernel.threads-max']) {
  const half = `sysctl -q -w ${key}=$(( $(base) / 2 )); fact base "$(base)"`;
  add({
    id: `h.${key.slice(7).replace('_', '-')}`,
    title: `${key} set to half of the base of percentages`,
    vmOnly: true,
    units: [alice, 'trial-default.service', own],
    steps: [
      ['sysctl', half],
      ['daemon-reload', reload],
      ['the user logs in again', 'login alice'],
      ['restart', 'systemctl restart trial-default.service'],
      ['the user logs out and in', 'logout alice; login alice'],
      ['sysctl back', `sysctl -q -w ${key}=$(cat /run/lab-activation/${key})`],
      ['daemon-reload after it', reload],
    ],
  });
}

// i: values out of the ordinary.
for (const value of ['4194303', '4194304', '4194305', '5000000', 'infinity']) {
  add({
    id: `i.value-${value}`,
    title: `service drop-in TasksMax=${value}`,
    wanted: value,
    units: [own],
    steps: [
      ['file and daemon-reload', `mark; dropin ${own} ${value}; ${reload}; logged`],
      [
        'set-property of an unrelated property',
        `mark; systemctl set-property --runtime ${own} CPUWeight=100; logged`,
      ],
      ['restart', `mark; exits restart systemctl restart ${own}; logged`],
    ],
  });
}
add({
  id: 'i.value-written',
  title: 'values above the most a kernel can have, written to pids.max',
  units: [own],
  steps: [
    ['4194304', `exits write sh -c "echo 4194304 >$pids$(cgroup_of ${own})/pids.max"`],
    ['4194305', `exits write sh -c "echo 4194305 >$pids$(cgroup_of ${own})/pids.max"`],
  ],
});
add({
  id: 'i.below-use',
  title: 'a limit below what runs',
  wanted: '2',
  units: [alice],
  steps: [
    ['file, daemon-reload, write', `dropin ${alice} 2; ${reload}; write ${alice} 2`],
    [
      'a further login',
      `fact tasks-over "$([ "$(cat $pids/user.slice/${alice}/pids.current)" -gt 2 ] && echo yes)"; exits ssh further_login alice`,
    ],
    ['raised', `dropin ${alice} 800; ${reload}; write ${alice} 800; login alice`],
  ],
});

// j, k: logind.
const logindConf = `touch /run/lab-activation/logind; mkdir -p /etc/systemd/logind.conf.d; printf '[Login]\\nUserTasksMax=${wanted}\\n' >/etc/systemd/logind.conf.d/60-trial.conf`;
add({
  id: 'j.user-tasks-max',
  title: 'UserTasksMax in logind.conf.d',
  units: [alice, bob],
  steps: [
    ['file and daemon-reload', `mark; ${logindConf}; ${reload}; logged`],
    ['SIGHUP to logind', 'mark; exits hup systemctl kill -s HUP systemd-logind; sleep 0.5; logged'],
    ['restart of logind', 'mark; systemctl restart systemd-logind; logged'],
    ['another user logs in', 'login bob'],
    ['the user logs in again', 'login alice'],
    ['the user logs out and in', 'logout alice; login alice'],
  ],
});
add({
  id: 'j.reload-logind',
  title: 'systemctl reload systemd-logind',
  units: [alice],
  steps: [['reload', `mark; ${logindConf}; exits reload systemctl reload systemd-logind; sleep 0.5; logged`]],
});
add({
  id: 'k.restart-logind',
  title: 'systemctl restart systemd-logind with a session up',
  units: [alice],
  steps: [
    [
      'restart',
      'fact sessions "$(sessions alice)"; systemctl restart systemd-logind; sleep 1; fact sessions "$(sessions alice)"; fact known "$(loginctl --no-legend list-sessions | grep -c alice)"; fact alive "$(pgrep -u alice -c -x sleep)"',
    ],
    ['a further login', 'login alice; fact known "$(loginctl --no-legend list-sessions | grep -c alice)"'],
  ],
});

// l: the slices above.
for (const [slice, below] of [
  ['user.slice', alice],
  ['system.slice', own],
  ['trial-parent.slice', 'trial-child.service'],
] as const) {
  add({
    id: `l.${slice.replace('.slice', '')}`,
    title: `drop-in for ${slice}`,
    units: [slice, below],
    steps: [
      ['file', `dropin ${slice} ${wanted}`],
      ['daemon-reload', reload],
      [
        'something starts below',
        slice === 'user.slice' ? 'login alice' : `systemd-run --quiet --scope --slice=${slice} true`,
      ],
      ['set-property of an unrelated property', `systemctl set-property --runtime ${slice} CPUWeight=100`],
    ],
  });
}

// m: the user's own manager.
add({
  id: 'm.user-manager-service',
  title: 'drop-in for user@1000.service',
  units: [alice, 'user@1000.service'],
  steps: [
    ['file and daemon-reload', `dropin user@1000.service ${wanted}; ${reload}`],
    ['the user logs in again', 'login alice'],
    ['reload of user@1000.service', 'exits reload systemctl reload user@1000.service'],
    ['the user logs out and in', 'logout alice; login alice'],
  ],
});
add({
  id: 'm.user-default',
  title: 'DefaultTasksMax in user.conf.d',
  units: [alice],
  userUnits: ['trial-user.service'],
  steps: [
    [
      'file',
      `mkdir -p /etc/systemd/user.conf.d; printf '[Manager]\\nDefaultTasksMax=${wanted}\\n' >/etc/systemd/user.conf.d/60-trial.conf`,
    ],
    ['daemon-reload of the system', reload],
    ['daemon-reload of the user manager', 'as_alice systemctl --user daemon-reload'],
    ['daemon-reexec of the user manager', 'as_alice systemctl --user daemon-reexec'],
    ['restart of the unit', 'as_alice systemctl --user restart trial-user.service'],
  ],
});
add({
  id: 'm.user-unit',
  title: "drop-in for a unit of the user's manager",
  units: [alice],
  userUnits: ['trial-user.service'],
  steps: [
    [
      'file and daemon-reload',
      `dir=/home/alice/.config/systemd/user/trial-user.service.d; mkdir -p $dir; printf '[Service]\\nTasksMax=${wanted}\\n' >$dir/60-trial.conf; as_alice systemctl --user daemon-reload`,
    ],
    [
      'set-property of an unrelated property',
      'as_alice systemctl --user set-property --runtime trial-user.service CPUWeight=100',
    ],
    ['restart of the unit', 'as_alice systemctl --user restart trial-user.service'],
  ],
});

export { rows };
