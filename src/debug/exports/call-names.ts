/** Names for the numbers that a call into a hypervisor carries. Xen's public/xen.h, "Hypercall numbers"; others stay numbers. */

const XEN: readonly (string | undefined)[] = [
  'set_trap_table', 'mmu_update', 'set_gdt', 'stack_switch', 'set_callbacks', 'fpu_taskswitch', 'sched_op_compat', 'platform_op', 'set_debugreg',
  'get_debugreg', 'update_descriptor', undefined, 'memory_op', 'multicall', 'update_va_mapping', 'set_timer_op', 'event_channel_op_compat',
  'xen_version', 'console_io', 'physdev_op_compat', 'grant_table_op', 'vm_assist', 'update_va_mapping_otherdomain', 'iret', 'vcpu_op',
  'set_segment_base', 'mmuext_op', 'xsm_op', 'nmi_op', 'sched_op', 'callback_op', 'xenoprof_op', 'event_channel_op', 'physdev_op', 'hvm_op',
  'sysctl', 'domctl', 'kexec_op', 'tmem_op', 'argo_op', 'xenpmu_op', 'dm_op',
];

/** `system call 32 (event_channel_op)`: who the number is for cannot be told from outside, so the name stands in brackets. */
export function callName(rax: number): string {
  if (rax > 255) return 'system call';
  const name = XEN[rax];
  return name === undefined ? `system call ${rax}` : `system call ${rax} (${name})`;
}
