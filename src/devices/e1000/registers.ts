/**
 * Register offsets and bits of the 82540EM.
 *
 * Intel "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual", §13.3 "Main Register Descriptions".
 */

export const CTRL = 0x0000, STATUS = 0x0008, EECD = 0x0010, EERD = 0x0014, CTRL_EXT = 0x0018, MDIC = 0x0020;
export const ICR = 0x00c0, ITR = 0x00c4, ICS = 0x00c8, IMS = 0x00d0, IMC = 0x00d8;
export const RCTL = 0x0100, TCTL = 0x0400, PBA = 0x1000;
export const RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818, RDTR = 0x2820, RADV = 0x282c;
export const TDBAL = 0x3800, TDBAH = 0x3804, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818, TIDV = 0x3820;
export const STATISTICS = 0x4000, STATISTICS_END = 0x4100;
export const RXCSUM = 0x5000, MTA = 0x5200, RAL0 = 0x5400, RAH0 = 0x5404, VFTA = 0x5600;

/** Statistics counters, cleared by reading. */
export const MPC = 0x4010, GPRC = 0x4074, BPRC = 0x4078, MPRC = 0x407c, GPTC = 0x4080, GORCL = 0x4088, GOTCL = 0x4090, RNBC = 0x40a0;
export const TORL = 0x40c0, TOTL = 0x40c8, TPR = 0x40d0, TPT = 0x40d4, MPTC = 0x40f0, BPTC = 0x40f4;

/** Writable registers without an effect of their own: they keep what is written. */
export const PLAIN: readonly number[] = [
  CTRL_EXT, 0x0028, 0x002c, 0x0030, 0x0038, 0x0170, 0x0178, TCTL, 0x0410, 0x0458, 0x0e00, PBA,
  RDBAL, RDBAH, RDLEN, RDTR, 0x2828, RADV, 0x2c00, TDBAL, TDBAH, TDLEN, TIDV, 0x3828, 0x382c, 0x3830, RXCSUM, 0x5800, 0x5808, 0x5820,
  0x2160, 0x2168, // flow-control thresholds
];

export const CTRL_RST = 1 << 26, CTRL_PHY_RST = 1 << 31;
/** Full duplex, link up, 1000 Mbit/s, bus mastering enabled. */
export const STATUS_VALUE = 0x0008_0783;

export const INT_TXDW = 1 << 0, INT_TXQE = 1 << 1, INT_LSC = 1 << 2, INT_RXDMT0 = 1 << 4, INT_RXO = 1 << 6, INT_RXT0 = 1 << 7, INT_MDAC = 1 << 9;

export const RCTL_EN = 1 << 1, RCTL_UPE = 1 << 3, RCTL_MPE = 1 << 4, RCTL_LPE = 1 << 5, RCTL_BAM = 1 << 15, RCTL_BSEX = 1 << 25, RCTL_SECRC = 1 << 26;
export const TCTL_EN = 1 << 1;
export const RXCSUM_IPOFL = 1 << 8, RXCSUM_TUOFL = 1 << 9;

/** Descriptor command byte. */
export const CMD_EOP = 0x01, CMD_IC = 0x04, CMD_TSE = 0x04, CMD_RS = 0x08, CMD_DEXT = 0x20, CMD_VLE = 0x40, CMD_IDE = 0x80;
export const CONTEXT_IP = 0x02, CONTEXT_TCP = 0x01;
export const POPTS_IXSM = 1, POPTS_TXSM = 2;
export const STATUS_DD = 1;
export const RX_EOP = 2, RX_IXSM = 4, RX_TCPCS = 0x20, RX_IPCS = 0x40, RX_PIF = 0x80;
export const RXE_TCPE = 0x20, RXE_IPE = 0x40;
